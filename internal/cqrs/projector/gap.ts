/** The log does not continue where the documents are: to go on would corrupt every view. The message says what to do. */
export class GapError extends Error {
  override readonly name = "GapError";
}

/** What an operator does about documents that are not those of the log. */
export const REBUILD =
  "stop the projectors, remove the documents with headwater views reset, and start the projectors: they build all views from the first event";
