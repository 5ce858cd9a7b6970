/** How far the events of a stream have been delivered. */

import { murmur2 } from "../partition.ts";
import type { Sequences } from "../positions.ts";
import { timestampToMs } from "../time.ts";
import type { EventMessage } from "../upcasting.ts";

/** The last event of a partition that has been delivered. */
export interface EventPlace {
  readonly sequence: number;
  /**
   * Tells the event from any other that may come to stand there when the log has lost its end, or was restored, and has gone on: that one is
   * of another command, or of one that was accepted at another time. Undefined: the view has no document of the event, since an operator
   * has left it out.
   */
  readonly mark: number | undefined;
}

/** The places by partition. A partition in which nothing has been delivered is absent. */
export type EventPosition = ReadonlyMap<number, EventPlace>;

/** The position before all events. */
export const beginning: EventPosition = new Map();

/** Where an event is. */
export function placeOfEvent(partition: number, { metadata }: EventMessage): EventPlace {
  const { sequence = 0n, eventId, commandId, recordedAt } = metadata ?? {};
  const recordedAtMs = recordedAt === undefined ? 0 : timestampToMs(recordedAt);
  const facts = [partition, sequence, eventId, commandId, recordedAtMs].join("/");
  return { sequence: Number(sequence), mark: murmur2(new TextEncoder().encode(facts)) >>> 0 };
}

/** One mark for all places that have one. */
export function markOfAll(position: EventPosition): number {
  return [...position.values()].reduce((all, { mark = 0 }) => all ^ mark, 0) >>> 0;
}

/** The partitions whose place has no mark, ascending. */
export function unmarkedPartitions(position: EventPosition): readonly number[] {
  const unmarked = [...position].filter(([, { sequence, mark }]) => sequence > 0 && mark === undefined);
  return unmarked.map(([partition]) => partition).toSorted((a, b) => a - b);
}

/** The sequences of a position. */
export function sequencesAt(position: EventPosition): Sequences {
  return new Map([...position].map(([partition, { sequence }]) => [partition, sequence]));
}
