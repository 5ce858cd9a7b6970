/**
 * What is stored carries a checksum of its own: SQLite notices a damaged page only where its structure
 * is damaged, and not where a byte of a document is another.
 */

import { crc32 } from "node:zlib";
import type { Checkpoint } from "../../cqrs/documents.ts";
import { DamagedCopyError } from "../../platform/sqlite-copy.ts";
import type { Row } from "./protocol.ts";

/** A row as it is stored. */
export type SummedRow = readonly [...Row, checksum: number];

/** A checkpoint as it is stored. */
export type SummedCheckpoint = Checkpoint & { readonly checksum: number };

/** The CRC-32 of all of a row. */
export function checksumOfRow([id, revision, applied, fields]: Row): number {
  // A damaged column may even be of another type. The fields are by far the largest, and are not copied.
  return crc32(textOf(fields), crc32(`${revision}\n${id}\n${applied}\n`));
}

/** The CRC-32 of all of a checkpoint. */
export function checksumOfCheckpoint(checkpoint: Checkpoint): number {
  const { collection, stream, partition, nextOffset, sequence, eventTimeMs, proof } = checkpoint;
  return crc32([collection, stream, partition, nextOffset, sequence, eventTimeMs, proof].join("\n"));
}

/** The row that was stored. @throws {DamagedCopyError} it is another, or gone although an index has it */
export function checkedRow(stored: SummedRow | undefined): Row {
  if (stored === undefined) throw new DamagedCopyError("an index has a document that is not there");
  const [id, revision, applied, fields, checksum] = stored;
  const row: Row = [id, revision, applied, fields];
  if (checksumOfRow(row) !== checksum) throw new DamagedCopyError(`the document ${JSON.stringify(id)} is not what was written`);
  return row;
}

/** The checkpoint that was stored. @throws {DamagedCopyError} it is another */
export function checkedCheckpoint({ checksum, ...checkpoint }: SummedCheckpoint): Checkpoint {
  if (checksumOfCheckpoint(checkpoint) === checksum) return checkpoint;
  throw new DamagedCopyError(`a checkpoint of ${JSON.stringify(checkpoint.collection)} is not what was written`);
}

function textOf(column: unknown): string {
  return typeof column === "string" ? column : String(column);
}
