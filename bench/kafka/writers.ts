/** Who decides each partition, as the state topic tells: every transaction of a handler writes a position with its name. */

import { fromBinary } from "@bufbuild/protobuf";
import type { Log, LogRecord } from "../../internal/cqrs/log.ts";
import { PartitionPositionSchema } from "../../internal/gen/headwater/cqrs/v1/state_pb.ts";

const POSITION_KEY = "__position";

/** A takeover takes seconds; reading a million orders takes many. */
const DEADLINE_MS = 300_000;

export interface Writers extends AsyncDisposable {
  /** The instance that wrote to a partition last. */
  of(partition: number): string | undefined;
  partitionsOf(instance: string): readonly number[];
  /** Waits for a condition on how many partitions each instance wrote to last. @throws {Error} it does not come true in minutes */
  until(condition: (counts: ReadonlyMap<string, number>) => boolean): Promise<void>;
}

export async function startWriters(log: Log, stateTopic: string): Promise<Writers> {
  const stop = new AbortController();
  const last = new Map<number, string>();
  let changed = Promise.withResolvers<void>();
  const partitions = Array.from({ length: log.partitions }, (_, partition) => partition);
  const tails = await Promise.all(
    partitions.map((partition) => log.tail({ topic: stateTopic, partition, from: "end", signal: stop.signal })),
  );
  const following = Promise.all(tails.map(follow));
  return {
    of: (partition) => last.get(partition),
    partitionsOf: (instance) => partitions.filter((partition) => last.get(partition) === instance),
    async until(condition) {
      const deadline = AbortSignal.timeout(DEADLINE_MS);
      const passed = new Promise<void>((resolve) => deadline.addEventListener("abort", () => resolve()));
      while (!condition(countsOf([...last.values()]))) {
        if (deadline.aborted) throw new Error(`after ${DEADLINE_MS} ms, the writers are still ${JSON.stringify([...last])}`);
        await Promise.race([changed.promise, passed]);
      }
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await following;
    },
  };

  async function follow(batches: AsyncIterable<readonly LogRecord[]>): Promise<void> {
    for await (const batch of batches) {
      for (const { partition, key, value } of batch) {
        if (key !== POSITION_KEY) continue;
        // A writer is a group and, behind it, an instance.
        last.set(partition, fromBinary(PartitionPositionSchema, value).writer.split("/").at(-1) ?? "");
      }
      changed.resolve();
      changed = Promise.withResolvers();
    }
  }
}

function countsOf(writers: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const writer of writers) counts.set(writer, (counts.get(writer) ?? 0) + 1);
  return counts;
}
