/** What may be done where nothing is found. */
export const writtenJustNow = "if it was written just now, pass the receipt's consistency_token";
