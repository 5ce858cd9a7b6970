/** How far a view is behind the log, in events and in time. */

import { fromBinary } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import type { Checkpoint } from "../documents.ts";
import type { LogRecord } from "../log.ts";
import { presentRecords, type ReadableLog } from "../present-records.ts";
import type { EventMessage } from "../upcasting.ts";
import { toldSequence } from "./delivered-event.ts";

/** How near the end of a partition the last event is looked for at first. Behind it there may be marks and what was never committed. */
const NEAR_THE_END = 16;

/** How much farther, each time that none was found. */
const WIDER = 16;

/** Where the events of a log are. */
export interface EventsOptions {
  readonly log: ReadableLog;
  readonly topic: string;
  readonly schema: GenMessage<EventMessage>;
}

/** A place among the events of a partition. */
export interface EventPlace {
  readonly sequence: number;
  readonly offset: number;
  /** When it was appended, in milliseconds since 1970. */
  readonly appendedAtMs: number;
}

/** The last event of a partition; undefined if there is none. It reads a few records, unless many at the end were never committed. */
export async function lastEvent(options: EventsOptions, partition: number): Promise<EventPlace | undefined> {
  const { log, topic } = options;
  const [begins, ends] = await Promise.all([log.begins(topic), log.ends(topic)]);
  const [begin, end] = [begins[partition] ?? 0, ends[partition] ?? 0];
  for (let width = NEAR_THE_END; ; width *= WIDER) {
    let last: EventPlace | undefined;
    for await (const place of placesFrom(options, partition, end - width)) last = place;
    if (last !== undefined || end - width <= begin) return last;
  }
}

/** How far a view is behind in a partition. */
export interface Lag {
  readonly events: number;
  /** The age of the oldest event that it does not show; 0 if it shows all. */
  readonly milliseconds: number;
}

/** The lag behind the last event. A view without a checkpoint has shown nothing. */
export async function lagOf(options: EventsOptions, { last, checkpoint, partition, nowMs }: LagOptions): Promise<Lag> {
  const events = Math.max(0, (last?.sequence ?? 0) - (checkpoint?.sequence ?? 0));
  if (events === 0) return { events, milliseconds: 0 };
  for await (const { sequence, appendedAtMs } of placesFrom(options, partition, checkpoint?.nextOffset ?? 0)) {
    if (sequence > (checkpoint?.sequence ?? 0)) return { events, milliseconds: Math.max(0, nowMs - appendedAtMs) };
  }
  return { events, milliseconds: 0 };
}

/** Of what the lag is told. */
export interface LagOptions {
  readonly partition: number;
  readonly last: EventPlace | undefined;
  readonly checkpoint: Pick<Checkpoint, "sequence" | "nextOffset"> | undefined;
  readonly nowMs: number;
}

async function* placesFrom({ log, topic, schema }: EventsOptions, partition: number, from: number): AsyncGenerator<EventPlace> {
  for await (const batch of presentRecords(log, { topic, partition, from })) {
    for (const record of batch) {
      const sequence = sequenceOf(schema, record);
      if (sequence !== undefined) yield { sequence, offset: record.offset, appendedAtMs: record.timestampMs };
    }
  }
}

/** The sequence of an event; of one that cannot be read, what its writer told beside it, if it was one of ours. */
export function sequenceOf(schema: GenMessage<EventMessage>, record: LogRecord): number | undefined {
  try {
    return Number(fromBinary(schema, record.value).metadata?.sequence ?? 0n);
  } catch {
    return toldSequence(record);
  }
}
