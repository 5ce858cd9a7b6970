/** The lines of an exported log. */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { BackupError, type Footer, type Header, parseHeader, parseRecordOrFooter, type RecordLine } from "./format.ts";

/** Longer than any record that the log takes. */
const MAX_LINE_BYTES = 64 * 1024 * 1024;

export interface Backup {
  readonly header: Header;
  /** Read once, in the order of the file. Ends with the checked last line; throws if there is none, or if it does not match what came before. */
  readonly lines: AsyncGenerator<RecordLine, Footer>;
  /** How many bytes have been read. */
  readonly bytesRead: () => number;
}

/** @throws {BackupError} it is no such file */
export async function openBackup(path: string): Promise<Backup> {
  let bytes = 0;
  const lines = linesOf(path, (count) => (bytes += count));
  const first = await lines.next();
  if (first.done === true) throw new BackupError("it is empty");
  const header = parseHeader(first.value);
  return { header, lines: checked(first.value, header, lines), bytesRead: () => bytes };
}

async function* checked(first: string, header: Header, lines: AsyncGenerator<string>): AsyncGenerator<RecordLine, Footer> {
  const hash = createHash("sha256").update(`${first}\n`);
  const records: Record<string, number> = {};
  for await (const line of lines) {
    const parsed = parseRecordOrFooter(line, header);
    if ("end" in parsed) {
      const after = await lines.next();
      if (after.done !== true) throw new BackupError("it goes on behind its last line");
      if (parsed.sha256 !== hash.digest("hex")) throw new BackupError("it was changed since it was written: its checksum is another");
      if (JSON.stringify(parsed.records) !== JSON.stringify(records)) throw new BackupError("it does not have as many records as it says");
      return parsed;
    }
    hash.update(`${line}\n`);
    records[parsed.topic] = (records[parsed.topic] ?? 0) + 1;
    yield parsed;
  }
  throw new BackupError("it ends before its last line: a part of it is missing");
}

/** A last line that nothing ends is none: it may be cut off anywhere. */
async function* linesOf(path: string, onRead: (bytes: number) => void): AsyncGenerator<string> {
  let rest: Buffer[] = [];
  let restBytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>) {
    onRead(chunk.length);
    let start = 0;
    for (let end = chunk.indexOf("\n"); end !== -1; end = chunk.indexOf("\n", start)) {
      yield Buffer.concat([...rest, chunk.subarray(start, end)]).toString("utf8");
      rest = [];
      restBytes = 0;
      start = end + 1;
    }
    rest.push(chunk.subarray(start));
    restBytes += chunk.length - start;
    if (restBytes > MAX_LINE_BYTES) throw new BackupError("it has a line that is far too long");
  }
}
