/** Everything that can be wrong with a file, found before anything is written. */

import { LogChecker } from "./check.ts";
import { BackupError, type Footer, type Header, recordFromLine } from "./format.ts";
import { openBackup } from "./read.ts";

export interface VerifiedBackup {
  readonly header: Header;
  readonly records: Footer["records"];
}

/** @throws {BackupError} it cannot be imported */
export async function verifyBackup(path: string, onProgress: (bytes: number) => void): Promise<VerifiedBackup> {
  const { header, lines, bytesRead } = await openBackup(path);
  const checker = new LogChecker(header.partitions);
  for (;;) {
    const next = await lines.next();
    if (next.done === true) {
      checker.end();
      return { header, records: next.value.records };
    }
    checker.add(recordFromLine(next.value));
    onProgress(bytesRead());
  }
}

/** Says what the file is. */
export function inFile(path: string, error: unknown): unknown {
  if (!(error instanceof BackupError)) return error;
  return new BackupError(`${path} cannot be imported: ${error.message}; nothing was written`, { cause: error });
}
