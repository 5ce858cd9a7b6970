/** What the read side stores and gives to clients beside events, one sample of each with every field set, and how it is read again. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { JsonValue } from "@bufbuild/protobuf";
import type { Checkpoint, Fields } from "../../internal/cqrs/documents.ts";
import type { ViewGenerations } from "../../internal/cqrs/projector/generations.ts";
import type { ParkedKey } from "../../internal/cqrs/projector/parking.ts";
import { entryFromFields, fieldsFromEntry } from "../../internal/cqrs/projector/stored-generations.ts";
import { parkedFromStored, parkedWrite } from "../../internal/cqrs/projector/stored-parked-keys.ts";
import { type EventPosition, markOfAll, sequencesAt } from "../../internal/cqrs/query/event-position.ts";
import { formatPageToken, parsePageToken } from "../../internal/cqrs/query/page-token.ts";
import { formatPosition, parsePosition } from "../../internal/cqrs/query/position-token.ts";
import { formatToken, parseToken } from "../../internal/cqrs/query/token.ts";
import { checksumOfCheckpoint } from "../../internal/documents/embedded/checksum.ts";
import { advanceCheckpointSql, baseSchema } from "../../internal/documents/embedded/schema.ts";
import { checkpointFromStored, type StoredCheckpoint, storedCheckpoint } from "../../internal/documents/mongo/checkpoints.ts";

/** A stored form: what today's code writes for a value, and what it reads from what is recorded. */
export interface Sample {
  readonly value: unknown;
  write(): JsonValue;
  /** Of a token the text, of anything else the fields. */
  read(stored: never): unknown;
}

const streams = [
  { id: "q3vNOAQxSbmMc1rW8yKkZg", partitions: 8 },
  { id: "27a3a1fa-6b3c-4d51-9bb1-5c12b0c2a3c4", partitions: 128 },
] as const;
const [stream, other] = streams;

const positions = new Map([
  [
    other.id,
    new Map([
      [5, 7],
      [127, Number.MAX_SAFE_INTEGER],
    ]),
  ],
  [
    stream.id,
    new Map([
      [0, 1],
      [1, 300],
    ]),
  ],
]);
const eventPosition: EventPosition = new Map([
  [0, { sequence: 1, mark: 0x0bad_cafe }],
  [1, { sequence: 300, mark: 0x1234_5678 }],
]);
const subscription = { stream, hash: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) };
const sortKey = ["EUR", 12.5, true, new Date("2026-11-30T10:11:12.345Z"), "order-1"];

const checkpoint: Checkpoint = {
  collection: "orders.v1",
  stream: stream.id,
  partition: 3,
  nextOffset: 1_000,
  sequence: 900,
  eventTimeMs: 1_764_500_000_123,
  proof: "1764500000456-0badcafe",
};

const entry: ViewGenerations = {
  view: "orders",
  revision: 7,
  streams: [{ ...stream, topic: "orders.events.v1" }],
  live: { collection: "orders.v1", version: 1 },
  previous: { collection: "orders.v0.b1", version: 0 },
  building: { collection: "orders.v2.b3", version: 2, state: "verifying", pace: 50, startedAtMs: 1_764_500_000_123, note: "half" },
  abandoned: ["orders.v2.b2"],
  builds: 3,
};

const request = { action: "skip", reason: "test order", by: "ada", atMs: 1_764_500_000_789 } as const;

const parked: ParkedKey = {
  id: `orders.v1/${stream.id}/3/document/order-1`,
  revision: 4,
  collection: "orders.v1",
  view: "orders",
  stream: stream.id,
  partition: 3,
  scope: "document",
  key: "order-1",
  state: "parked",
  event: { sequence: 900, offset: 999, aggregateId: "order-1", recordedAtMs: 1_764_500_000_456 },
  error: "the amount is too large",
  parkedAtMs: 1_764_500_000_555,
  depth: 2,
  queuedTo: 905,
  skipped: [880],
  request,
  answers: [{ ...request, action: "retry", sequence: 880, error: "as before" }],
};

/** By name. */
export const samples: Readonly<Record<string, Sample>> = {
  "consistency-token": {
    value: positions,
    write: () => formatToken(positions),
    read: (stored: string) => parseToken(stored, streams),
  },
  "position-token": {
    value: { sequences: sequencesAt(eventPosition), mark: markOfAll(eventPosition), unmarked: [] },
    write: () => formatPosition(subscription, eventPosition),
    read: (stored: string) => parsePosition(stored, subscription),
  },
  "page-token": {
    value: sortKey,
    write: () => formatPageToken(subscription.hash, sortKey),
    read: (stored: string) => parsePageToken(stored, subscription.hash),
  },
  "view-generations": {
    value: entry,
    write: () => plain(fieldsFromEntry(entry)),
    read: (fields: Fields) => entryFromFields(fields, entry.revision),
  },
  "parked-key": {
    value: parked,
    write: () => plain(parkedWrite(parked).fields),
    read: (fields: Fields) => parkedFromStored({ id: parked.id, revision: parked.revision, applied: {}, fields }),
  },
  "checkpoint-mongo": {
    value: checkpoint,
    write: () => plain(storedCheckpoint(checkpoint)),
    read: (stored: StoredCheckpoint) => checkpointFromStored(stored),
  },
  "checkpoint-embedded": {
    value: embeddedRow(),
    write: () => plain(embeddedRow()),
    read: (row: object) => row,
  },
};

/** What is recorded under a name; undefined if nothing is. */
export function readStored(name: string): JsonValue | undefined {
  const path = storedPath(name);
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as JsonValue) : undefined;
}

export function storedPath(name: string): string {
  return join(import.meta.dirname, "stored", `${name}.json`);
}

/** The row that SQLite has of a checkpoint, by its columns. */
function embeddedRow(): Readonly<Record<string, unknown>> {
  const db = new DatabaseSync(":memory:");
  db.exec(baseSchema);
  const { collection, stream: id, partition, nextOffset, sequence, eventTimeMs, proof } = checkpoint;
  db.prepare(advanceCheckpointSql).run(
    collection,
    id,
    partition,
    nextOffset,
    sequence,
    eventTimeMs,
    proof,
    checksumOfCheckpoint(checkpoint),
  );
  const row = { ...db.prepare("SELECT * FROM checkpoints").get() };
  db.close();
  return row;
}

function plain(value: unknown): JsonValue {
  return JSON.parse(JSON.stringify(value)) as JsonValue;
}
