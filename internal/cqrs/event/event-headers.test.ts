import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { expect, it } from "vitest";
import { readHistory } from "../../../test/support/history-checker.ts";
import {
  changeQuantity,
  createOrder,
  openGateway,
  openOrderLog,
  orders,
  placeOrder,
  startHandler,
  submission,
  submit,
} from "../../../test/support/order-runtime.ts";
import { EventMetadataSchema } from "../../gen/headwater/cqrs/v1/event_pb.ts";
import { OrderCommandRecordSchema } from "../../gen/headwater/orders/v1/order_command_record_pb.ts";
import { OrderCommandSchema } from "../../gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import type { Log } from "../log.ts";
import { partitionOf } from "../partition.ts";
import { createEventHeaders } from "./event-headers.ts";

const occurredAt = { seconds: BigInt(Date.parse("2011-12-09T12:50:00Z") / 1000), nanos: 250_000_000 };
const trace = { traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", tracestate: "rojo=1" };

async function started() {
  const log = await openOrderLog();
  startHandler(log);
  return { log, gateway: await openGateway(log) };
}

async function headersOfEvents(log: Log) {
  const history = await readHistory(log, orders.domain);
  return history.flatMap(({ events }) => events.map(({ headers }) => headers));
}

/** Appends a command as something else than the gateway might write it. */
async function appendCommand(log: Log, headers: Readonly<Record<string, string>>, seconds = 0n): Promise<void> {
  const { command: bytes = new Uint8Array(), commandId, fingerprint } = submission("order-1", createOrder);
  const command = fromBinary(OrderCommandSchema, bytes);
  const { domain, topics } = orders;
  const stream = log.topicId(topics.events.name);
  const { schemaVersion } = domain.commands;
  const metadata = { schemaVersion, stream, aggregateId: "order-1", commandId, fingerprint, occurredAt: { seconds, nanos: 0 } };
  const value = toBinary(OrderCommandRecordSchema, create(OrderCommandRecordSchema, { metadata, command }));
  await log.append([{ topic: topics.commands.name, partition: partitionOf("order-1", log.partitions), key: "order-1", value, headers }]);
}

it("the record of an event is a CloudEvent in binary content mode, in the trace of its command", async () => {
  const { log, gateway } = await started();
  await submit(gateway, { ...submission("order-1", createOrder, { occurredAt }), trace });
  expect(await headersOfEvents(log)).toEqual([
    {
      ce_specversion: "1.0",
      ce_id: "order-1/1",
      ce_source: "/headwater/orders",
      ce_type: "headwater.orders.v1.OrderCreated",
      ce_subject: "order-1",
      ce_sequence: "0000000000000001",
      ce_time: "2011-12-09T12:50:00.250Z",
      "content-type": "application/protobuf",
      ...trace,
    },
  ]);
});

it("each event has an id and a type of its own", async () => {
  const { log, gateway } = await started();
  for (const command of [createOrder, changeQuantity(3), placeOrder]) await submit(gateway, submission("order-1", command));
  expect((await headersOfEvents(log)).map((headers) => [headers?.["ce_id"], headers?.["ce_type"]])).toEqual([
    ["order-1/1", "headwater.orders.v1.OrderCreated"],
    ["order-1/2", "headwater.orders.v1.LineQuantityChanged"],
    ["order-1/3", "headwater.orders.v1.OrderPlaced"],
  ]);
});

it("a retry in another trace leaves the event in that of the first attempt", async () => {
  const { log, gateway } = await started();
  const command = submission("order-1", createOrder);
  await submit(gateway, { ...command, trace });
  await submit(gateway, { ...command, trace: { traceparent: trace.traceparent.replace("4bf9", "5bf9") } });
  expect(await headersOfEvents(log)).toEqual([expect.objectContaining(trace)]);
});

it("of a command record's headers only a trace context of the right form goes on to the events", async () => {
  const { log, gateway } = await started();
  await appendCommand(log, { traceparent: "00-none", tracestate: "rojo=1", authorization: "secret" });
  await submit(gateway, submission("order-1", placeOrder));
  const [headers] = await headersOfEvents(log);
  const standard = ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_sequence", "ce_time", "content-type"];
  expect(Object.keys(headers ?? {})).toEqual(standard);
});

it("the time is the event's to the millisecond, before 1970 too", () => {
  const headersOf = createEventHeaders(orders.domain);
  const ms = fc.integer({ min: Date.UTC(0, 0) - 1e14, max: Date.UTC(10_000, 0) + 1e12 });
  const near = fc.tuple(ms, fc.array(fc.integer({ min: -2_000, max: 2_000 }))).map(([first, steps]) => steps.map((step) => first + step));
  fc.assert(
    fc.property(near, (times) => {
      for (const time of times) {
        const metadata = create(EventMetadataSchema, { occurredAt: timestampFromMs(time) });
        const event = create(OrderEventSchema, { metadata, event: { case: "orderPlaced", value: {} } });
        const iso = new Date(time).toISOString();
        expect(headersOf(event, undefined)["ce_time"]).toBe(iso.length === 24 ? iso : undefined);
      }
    }),
  );
});

it.each([
  ["beyond every calendar", 2n ** 62n],
  ["of a year with five digits", 253_402_300_800n],
])("a time %s is left out of the headers and stops nobody", async (_, seconds) => {
  const { log, gateway } = await started();
  await appendCommand(log, {}, seconds);
  expect((await submit(gateway, submission("order-1", changeQuantity(3)))).outcome).toMatchObject({ version: 2 });
  const [first, second] = await headersOfEvents(log);
  expect(first).not.toHaveProperty("ce_time");
  expect(second).toHaveProperty("ce_time");
});
