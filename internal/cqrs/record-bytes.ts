/** How large records are: what a buffer, a batch or a limit counts. */

import { MAX_RECORD_BYTES, type NewRecord, RecordsTooLargeError } from "./log.ts";

/** What lies around the contents where a record is stored or sent. */
export interface Overhead {
  readonly perRecord: number;
  readonly perHeader: number;
}

const NONE: Overhead = { perRecord: 0, perHeader: 0 };

/** Of a key that stands in a message. */
const SHOWN_LENGTH = 80;

/** A UTF-16 unit takes three bytes of UTF-8 at most. */
const MAX_BYTES_PER_UNIT = 3;

/** The key, the value and the headers of a record, in bytes as they are stored, with an overhead. */
export function recordBytes({ key, value, headers }: Pick<NewRecord, "key" | "value" | "headers">, overhead = NONE): number {
  let bytes = overhead.perRecord + textBytes(key) + (value?.length ?? 0);
  for (const name in headers) bytes += overhead.perHeader + textBytes(name) + textBytes(headers[name] ?? "");
  return bytes;
}

/** No less than {@link recordBytes}, and up to three times as much for the texts: it looks at no character, and costs next to nothing. */
export function recordBytesAtMost({ key, value, headers }: Pick<NewRecord, "key" | "value" | "headers">, overhead = NONE): number {
  let units = key.length;
  let bytes = overhead.perRecord + (value?.length ?? 0);
  for (const name in headers) {
    units += name.length + (headers[name]?.length ?? 0);
    bytes += overhead.perHeader;
  }
  return bytes + units * MAX_BYTES_PER_UNIT;
}

/** @throws {RecordsTooLargeError} no log takes the record */
export function checkSize(record: NewRecord): void {
  if (recordBytesAtMost(record) <= MAX_RECORD_BYTES) return;
  const bytes = recordBytes(record);
  if (bytes <= MAX_RECORD_BYTES) return;
  const { topic, key } = record;
  throw new RecordsTooLargeError(
    `the record of ${JSON.stringify(key.slice(0, SHOWN_LENGTH))} for ${topic} has ${bytes} bytes; the log takes ${MAX_RECORD_BYTES}`,
  );
}

/** In UTF-8. A surrogate takes three bytes where it stands alone, and two in a pair. */
function textBytes(text: string): number {
  let bytes = text.length;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) continue;
    bytes += unit < 0x800 ? 1 : 2;
    if (isPair(unit, text.charCodeAt(index + 1))) index += 1;
  }
  return bytes;
}

function isPair(high: number, low: number): boolean {
  return high >= 0xd800 && high <= 0xdbff && low >= 0xdc00 && low <= 0xdfff;
}
