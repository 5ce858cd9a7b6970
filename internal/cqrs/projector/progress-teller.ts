/** Tells those who wait for views how far their live generations are; a notification, repeated soon if it is lost. */

import { create, toBinary } from "@bufbuild/protobuf";
import { ViewProgressSchema } from "../../gen/headwater/cqrs/v1/record_pb.ts";
import type { Cancel, Clock } from "../clock.ts";
import { type Log, LogRefusedError, type NewRecord } from "../log.ts";
import type { ViewGenerations } from "./generations.ts";
import type { AppliedPlace } from "./kept-partitions.ts";

/** Positions are told again so often, for callers that began to listen after they were reached. */
const REPEAT_PROGRESS_MS = 3_000;

/** Where they listen. */
export interface ProgressTopic {
  readonly progress: { readonly name: string };
}

/** What it takes to tell them. */
export interface ProgressTellerOptions {
  readonly log: Pick<Log, "append">;
  readonly clock: Clock;
  readonly topics: ProgressTopic;
  /** The catalogue's entries, as they are now. */
  readonly entries: () => readonly ViewGenerations[];
}

/** Tells. */
export interface ProgressTeller {
  /** Tells now, and again and again, where generations are; of those that nobody reads, nothing. */
  tell(places: readonly AppliedPlace[]): void;
  /** Tells no more of other partitions than these: they are another projector's now, who may begin lower. */
  keep(partitions: ReadonlySet<number>): void;
  /** Rejects when the log refuses what is told, and will refuse it again; never resolves. */
  readonly refused: Promise<never>;
  close(): void;
}

/** Begins to tell, until it is closed. */
export function createProgressTeller({ log, clock, topics, entries }: ProgressTellerOptions): ProgressTeller {
  const latest = new Map<string, AppliedPlace>();
  const refused = Promise.withResolvers<never>();
  let cancelRepeat: Cancel = repeat();
  return {
    refused: refused.promise,
    tell(places) {
      for (const place of places) latest.set(`${place.stream}/${place.partition}/${place.generation.collection.name}`, place);
      publish(places);
    },
    keep(partitions) {
      for (const [key, { partition }] of latest) if (!partitions.has(partition)) latest.delete(key);
    },
    close: () => cancelRepeat(),
  };

  function publish(places: Iterable<AppliedPlace>): void {
    const live = new Set(entries().map((entry) => entry.live.collection));
    const records = [...places]
      .filter(({ generation }) => live.has(generation.collection.name))
      .map(({ generation: { name: view }, stream, partition, sequence }): NewRecord => {
        const value = create(ViewProgressSchema, { view, stream, partition, sequence: BigInt(sequence) });
        return { topic: topics.progress.name, partition: 0, key: view, value: toBinary(ViewProgressSchema, value) };
      });
    if (records.length > 0) log.append(records).catch(noteRefusal);
  }

  /** An outage passes, and all is told again. */
  function noteRefusal(error: unknown): void {
    if (error instanceof LogRefusedError) refused.reject(error);
  }

  function repeat(): Cancel {
    return clock.after(REPEAT_PROGRESS_MS, () => {
      publish(latest.values());
      cancelRepeat = repeat();
    });
  }
}
