import { create, toBinary } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { openOrderLog, orders } from "../../../test/support/order-runtime.ts";
import { OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import type { Log } from "../log.ts";
import { type EventsOptions, lagOf, lastEvent } from "./event-lag.ts";

const topic = orders.topics.events.name;

async function withEvents(count: number): Promise<EventsOptions & { readonly log: Log }> {
  const log = await openOrderLog();
  const sequences = Array.from({ length: count }, (_, index) => BigInt(index + 1));
  await log.append(
    sequences.map((sequence) => {
      return { topic, partition: 1, key: "a", value: toBinary(OrderEventSchema, create(OrderEventSchema, { metadata: { sequence } })) };
    }),
  );
  return { log, topic, schema: OrderEventSchema };
}

it("the last event of a partition is found at its end", async () => {
  const events = await withEvents(40);
  expect(await lastEvent(events, 1)).toMatchObject({ sequence: 40, offset: 39 });
  expect(await lastEvent(events, 0)).toBeUndefined();
});

it("a view is behind by the events that it does not show, and by the age of the oldest of them", async () => {
  const events = await withEvents(40);
  const last = await lastEvent(events, 1);
  const [batch = []] = await Array.fromAsync(
    await events.log.tail({ topic, partition: 1, from: 30, to: 31, signal: new AbortController().signal }),
  );
  const nowMs = (batch[0]?.timestampMs ?? 0) + 5_000;
  const place = { partition: 1, last, nowMs };
  expect(await lagOf(events, { ...place, checkpoint: { sequence: 30, nextOffset: 30 } })).toEqual({ events: 10, milliseconds: 5_000 });
  expect(await lagOf(events, { ...place, checkpoint: { sequence: 40, nextOffset: 40 } })).toEqual({ events: 0, milliseconds: 0 });
  expect(await lagOf(events, { ...place, checkpoint: undefined })).toMatchObject({ events: 40 });
  expect(await lagOf(events, { ...place, checkpoint: { sequence: 50, nextOffset: 50 } })).toEqual({ events: 0, milliseconds: 0 });
});
