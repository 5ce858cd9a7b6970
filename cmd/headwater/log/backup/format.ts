/**
 * The file of an exported log: a line of JSON for each record, between a first line that says which log it is and a last one by which a file
 * that is not complete is found out. What people read in it, `decoded`, is ignored when it is imported: the bytes count.
 */

import type { JsonValue } from "@bufbuild/protobuf";
import type { NewRecord, Retention } from "../../../../internal/cqrs/log.ts";
import { orderTopics } from "../../domain.ts";

/** Raised when a file can no longer be read by an older program. */
const VERSION = 1;
const FORMAT = "headwater-log";

/** A file that cannot be imported, with the reason. */
export class BackupError extends Error {
  override readonly name = "BackupError";
}

/** The topics that are exported: the others hold nothing that outlives a decision. */
export const exportedTopics = [orderTopics.events, orderTopics.deadLetters, orderTopics.state] as const;

/** The first line. */
export interface Header {
  readonly format: typeof FORMAT;
  readonly version: typeof VERSION;
  readonly logId: string;
  readonly partitions: number;
  readonly exportedAt: string;
  readonly topics: readonly { readonly name: string; readonly retention: Retention }[];
}

/** A line in between. */
export interface RecordLine {
  readonly topic: string;
  readonly partition: number;
  readonly key: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Base64. */
  readonly value: string;
  /** Where it was and when it was appended there. State has no place. */
  readonly offset?: number;
  readonly appendedAt?: string;
  /** What it says, for people. */
  readonly type?: string;
  readonly decoded?: JsonValue;
}

/** The last line. */
export interface Footer {
  readonly end: true;
  /** How many there are of each topic. */
  readonly records: Readonly<Record<string, number>>;
  /** Of all lines before, in hexadecimal. */
  readonly sha256: string;
}

export function headerOf(log: { readonly id: string; readonly partitions: number }, exportedAt: Date): Header {
  return {
    format: FORMAT,
    version: VERSION,
    logId: log.id,
    partitions: log.partitions,
    exportedAt: exportedAt.toISOString(),
    topics: exportedTopics.map(({ name, retention }) => ({ name, retention })),
  };
}

/** @throws {BackupError} it is no first line of a file that this program reads */
export function parseHeader(line: string): Header {
  const header = parseLine(line) as Partial<Header>;
  if (header.format !== FORMAT) throw new BackupError(`it is no ${FORMAT} file: headwater log export writes them`);
  if (header.version !== VERSION)
    throw new BackupError(`it has version ${String(header.version)} of the format, and this program reads ${VERSION}`);
  const { partitions, logId, topics } = header;
  if (!Number.isInteger(partitions) || typeof logId !== "string" || !Array.isArray(topics))
    throw new BackupError("its first line is not complete");
  // The fields that are used were looked at.
  return header as Header;
}

/** A line behind the first: a record, or the end. @throws {BackupError} it is neither */
export function parseRecordOrFooter(line: string, { partitions }: Header): RecordLine | Footer {
  const parsed = parseLine(line) as Partial<RecordLine & Footer>;
  if (parsed.end === true) {
    if (typeof parsed.sha256 !== "string" || typeof parsed.records !== "object") throw new BackupError("its last line is not complete");
    return parsed as Footer;
  }
  const { topic, partition, key, value, headers = {} } = parsed;
  const isRecord =
    exportedTopics.some(({ name }) => name === topic) &&
    typeof partition === "number" &&
    Number.isInteger(partition) &&
    partition >= 0 &&
    partition < partitions &&
    typeof key === "string" &&
    typeof value === "string" &&
    Object.values(headers).every((header) => typeof header === "string");
  if (!isRecord) throw new BackupError(`it has a line that is no record: ${line.slice(0, 100)}`);
  return parsed as RecordLine;
}

/** @throws {BackupError} the value is not base64 */
export function recordFromLine({ topic, partition, key, headers, value }: RecordLine): NewRecord & { readonly value: Uint8Array } {
  const bytes = Buffer.from(value, "base64");
  if (bytes.toString("base64") !== value) throw new BackupError(`the value of a record of ${topic} with the key ${key} is not base64`);
  return { topic, partition, key, value: bytes, ...(headers === undefined ? {} : { headers }) };
}

function parseLine(line: string): object {
  try {
    const parsed: unknown = JSON.parse(line);
    if (typeof parsed === "object" && parsed !== null) return parsed;
  } catch {
    // Told below, with what there is instead.
  }
  throw new BackupError(`it has a line that is no JSON object: ${line.slice(0, 100)}`);
}
