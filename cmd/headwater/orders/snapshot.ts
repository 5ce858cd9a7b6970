import { fromBinary } from "@bufbuild/protobuf";
import type { Log } from "../../../internal/cqrs/log.ts";
import { partitionOf } from "../../../internal/cqrs/partition.ts";
import { type AggregateSnapshot, AggregateSnapshotSchema } from "../../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { orderTopics } from "../../../internal/orders/topics.ts";

/** An order as the write side has it; undefined if it has none. On Kafka this reads all state of the order's partition. */
export async function loadSnapshot(log: Log, orderId: string): Promise<AggregateSnapshot | undefined> {
  let latest: Uint8Array | null = null;
  for await (const values of log.latest(orderTopics.state.name, partitionOf(orderId, log.partitions), [orderId])) {
    latest = values.at(-1)?.value ?? latest;
  }
  return latest === null ? undefined : fromBinary(AggregateSnapshotSchema, latest);
}
