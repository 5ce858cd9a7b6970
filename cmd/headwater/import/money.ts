/** Decimal text, as far as its amount in minor units certainly fits into 64 bits. */
const decimal = /^(-?)(\d{1,12})(?:\.(\d{1,20}))?$/;

/** Minor units from decimal text without floating point, rounded half away from zero; undefined if it is no such number. */
export function parseMinorUnits(text: string): bigint | undefined {
  const match = decimal.exec(text);
  if (match === null) return undefined;
  const [, sign, units = "", fraction = ""] = match;
  const [tenths = "0", hundredths = "0", thousandths = "0"] = fraction;
  const minorUnits = BigInt(units + tenths + hundredths) + (thousandths >= "5" ? 1n : 0n);
  return sign === "-" ? -minorUnits : minorUnits;
}
