/** The lines of a file, and the fields of a line: exactly as they are written, or not at all. */

import { parse } from "csv-parse/sync";

const LINE_FEED = 0x0a;

/** In a field they are no text of anybody's: what is left of another encoding, of another kind of line end, or of an attack on a terminal. */
const controlCharacter = /(?!\t)\p{Cc}/u;

/** A field that a quote begins ends with one, and one within it is written twice; no other has any. */
const quotesAtOddPlaces = new Set(["CSV_INVALID_CLOSING_QUOTE", "INVALID_OPENING_QUOTE", "CSV_QUOTE_NOT_CLOSED"]);

/**
 * The lines of a file, without their ends: a line feed, or a carriage return and a line feed, whichever each has.
 *
 * @throws {Error} a line is not UTF-8; the message has its number
 */
export function linesOf(file: Uint8Array): readonly string[] {
  const lines: string[] = [];
  for (let start = 0; start < file.length; ) {
    const feed = file.indexOf(LINE_FEED, start);
    const end = feed === -1 ? file.length : feed;
    lines.push(decode(file.subarray(start, end), lines.length + 1).replace(/\r$/, ""));
    start = end + 1;
  }
  return lines;
}

/** A byte order mark may precede the first line. */
function decode(line: Uint8Array, number: number): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: number > 1 }).decode(line);
  } catch {
    throw new Error(`line ${number} is not UTF-8; convert the file, such as with: iconv -f ${encodingOf(line)} -t UTF-8`);
  }
}

/** What it most likely is: a file in UTF-16 says so at its beginning. */
function encodingOf([first, second]: Uint8Array): string {
  const isUtf16 = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  return isUtf16 ? "UTF-16" : "WINDOWS-1252";
}

/** The fields of a line, or why they cannot be told apart. */
export function fieldsOf(line: string): readonly string[] | "control character" | "quotes" {
  if (controlCharacter.test(line)) return "control character";
  if (!line.includes('"')) return line.split(",");
  try {
    const [fields = []]: readonly (readonly string[])[] = parse(line, { relaxColumnCount: true });
    return fields;
  } catch (error) {
    if (quotesAtOddPlaces.has((error as { readonly code: string }).code)) return "quotes";
    throw error;
  }
}
