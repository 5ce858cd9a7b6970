/** Records as messages: the key as UTF-8, the headers, and a checksum, since kafkajs checks none on reading. */

import { crc32 } from "node:zlib";
import type { LogRecord, NewRecord } from "../../cqrs/log.ts";
import type { FetchedMessage } from "./kafkajs.ts";

/** The header with the CRC32 of the value, in hexadecimal. */
const CHECKSUM_HEADER = "crc32";

/** A value that is not what was written. Nothing can be decided on it. */
export class CorruptRecordError extends Error {
  override readonly name = "CorruptRecordError";
}

export function messageFromRecord({ partition, key, value, headers }: NewRecord) {
  const checksum = value === null ? {} : { [CHECKSUM_HEADER]: crc32(value).toString(16) };
  return {
    partition,
    key,
    value: value === null ? null : Buffer.from(value.buffer, value.byteOffset, value.byteLength),
    headers: { ...headers, ...checksum },
  };
}

/** A record as it is read: a null value deletes its key. */
export type KafkaRecord = LogRecord & { readonly deleted?: true };

/** @throws {CorruptRecordError} the value does not match its checksum */
export function recordFromMessage(message: FetchedMessage, partition: number, topic: string): KafkaRecord {
  const value = message.value ?? new Uint8Array();
  const { [CHECKSUM_HEADER]: checksum, ...rest } = message.headers;
  if (checksum !== undefined && message.value !== null && checksum.toString() !== crc32(value).toString(16)) {
    throw new CorruptRecordError(`the record at offset ${message.offset} of partition ${partition} of ${topic} is not what was written`);
  }
  const record = {
    partition,
    offset: Number(message.offset),
    key: message.key?.toString() ?? "",
    value,
    timestampMs: Number(message.timestamp),
    ...(message.value === null ? ({ deleted: true } as const) : {}),
  };
  const headers = Object.fromEntries(Object.entries(rest).map(([name, bytes]) => [name, bytes?.toString() ?? ""]));
  return Object.keys(headers).length === 0 ? record : { ...record, headers };
}
