import { fromBinary } from "@bufbuild/protobuf";
import { pageKeysOf } from "../../../internal/cqrs/command/outcomes.ts";
import type { Log } from "../../../internal/cqrs/log.ts";
import { partitionOf } from "../../../internal/cqrs/partition.ts";
import { type AggregateSnapshot, AggregateSnapshotSchema, OutcomePageSchema } from "../../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { orderTopics } from "../domain.ts";

/** The order may be written between two readings, but not every time. */
const MAX_ATTEMPTS = 5;

/**
 * An order as the write side has it, with all outcomes that it remembers; undefined if it has none.
 * On Kafka this reads all state of the order's partition, and twice if the order has had many commands.
 */
export async function loadSnapshot(log: Log, orderId: string): Promise<AggregateSnapshot | undefined> {
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
    const value = (await latest(log, orderId, [orderId])).get(orderId);
    if (value === undefined) return undefined;
    const snapshot = fromBinary(AggregateSnapshotSchema, value);
    const keys = pageKeysOf(snapshot);
    const pages = keys.length === 0 ? new Map<string, Uint8Array>() : await latest(log, orderId, keys);
    // A page that is gone was forgotten meanwhile, with a newer snapshot.
    if (keys.some((key) => !pages.has(key))) continue;
    const older = keys.flatMap((key) => fromBinary(OutcomePageSchema, pages.get(key) ?? new Uint8Array()).outcomes);
    return { ...snapshot, outcomes: [...older, ...snapshot.outcomes] };
  }
  throw new Error(`outcomes of the order ${orderId} are missing in ${orderTopics.state.name}`);
}

/** The present values of some keys of an order. */
async function latest(log: Log, orderId: string, keys: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  for await (const values of log.latest(orderTopics.state.name, partitionOf(orderId, log.partitions), keys)) {
    for (const { key, value } of values) {
      if (value === null) found.delete(key);
      else found.set(key, value);
    }
  }
  return found;
}
