import type { DocumentValue, Fields } from "../documents.ts";

/** What a value takes beside its content: a number, or the name and the head of a field. */
const VALUE_BYTES = 16;

/** About how many bytes a document's fields take in memory, for bounds that need not be exact. */
export function bytesOf(fields: Fields): number {
  return bytesOfValue(fields);
}

function bytesOfValue(value: DocumentValue | undefined): number {
  if (typeof value === "string") return VALUE_BYTES + value.length;
  if (typeof value !== "object" || value === null || value instanceof Date) return VALUE_BYTES;
  let bytes = VALUE_BYTES;
  for (const part of Object.values(value as Fields)) bytes += VALUE_BYTES + bytesOfValue(part);
  return bytes;
}
