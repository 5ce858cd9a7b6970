/** Random histories of orders as a log may have them: several lives, interleaved, with stretches that stand in it twice. */

import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { isRejected } from "../../internal/cqrs/aggregate.ts";
import type { NewRecord } from "../../internal/cqrs/log.ts";
import { partitionOf } from "../../internal/cqrs/partition.ts";
import { EventMetadataSchema } from "../../internal/gen/headwater/cqrs/v1/event_pb.ts";
import { OrderCommandSchema } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import type { OrderEvent } from "../../internal/gen/headwater/orders/v1/order_event_pb.ts";
import { order } from "../../internal/orders/domain/order.ts";
import { course } from "../../internal/orders/domain/testing/arbitraries.ts";
import { address, type Command, createOrder, placeOrder, recordPayment } from "../../internal/orders/domain/testing/commands.ts";
import { orderTopics } from "./order-domain.ts";

/** A history of orders. */
export interface OrderHistory {
  /** Every event once. */
  readonly events: readonly PlacedEvent[];
  /** The events as the log has them, some of them twice. */
  readonly logged: readonly PlacedEvent[];
}

export interface PlacedEvent {
  readonly partition: number;
  readonly sequence: number;
  readonly event: OrderEvent;
}

interface OrderCommand {
  readonly orderId: string;
  readonly command: Command;
}

/** A stretch of a partition. */
interface Repeat {
  readonly partition: number;
  readonly from: number;
  readonly length: number;
}

/** Enough that orders meet in customers, days and products, and few enough that a history is projected in no time. */
const MAX_ORDERS = 4;
/** Beyond these, one life after the other. */
const MAX_TURNS = 100;
const MAX_REPEATS = 3;
const MAX_REPEATED = 5;

/** Some events of a history share a day. */
const STEP_MS = 5 * 3_600_000;
const START_MS = Date.parse("2026-01-30T00:00:00Z");

const life = fc
  .record({ commands: course, customerId: fc.constantFrom("ada", "grace", ""), country: fc.constantFrom("UK", "France") })
  .map(({ commands, customerId, country }) =>
    commands.map((command) =>
      command.case === "createOrder"
        ? ({ ...command, value: { ...command.value, customerId, shippingAddress: { ...address, country } } } as Command)
        : command,
    ),
  );

const repeat: fc.Arbitrary<Repeat> = fc.record({ partition: fc.nat(), from: fc.nat(), length: fc.integer({ min: 1, max: MAX_REPEATED }) });

/** Any history in so many partitions. */
export function orderHistories(partitions: number): fc.Arbitrary<OrderHistory> {
  return fc
    .record({
      lives: fc.array(life, { minLength: 1, maxLength: MAX_ORDERS }),
      turns: fc.array(fc.nat(), { maxLength: MAX_TURNS }),
      repeats: fc.array(repeat, { maxLength: MAX_REPEATS }),
    })
    .map(({ lives, turns, repeats }) => historyOf(interleaved(lives, turns), partitions, repeats));
}

/** Two orders of one customer, where there are two partitions, one in each: small enough to try everything with it. */
export function shortHistory(partitions: number): OrderHistory {
  const commands = [createOrder(), placeOrder(), recordPayment()];
  return historyOf(
    commands.flatMap((command) => ["order-0", "order-2"].map((orderId) => ({ orderId, command }))),
    partitions,
  );
}

/** The history of the accepted ones among the commands to an order. */
function historyOf(commands: readonly OrderCommand[], partitions: number, repeats: readonly Repeat[] = []): OrderHistory {
  const events = decided(commands, partitions);
  const logged = [...events];
  for (const { partition, from, length } of repeats) {
    const own = logged.filter((placed) => placed.partition === partition % partitions);
    const start = own.length === 0 ? 0 : from % own.length;
    const repeated = own.slice(start, start + length);
    const last = repeated.at(-1);
    if (last !== undefined) logged.splice(logged.lastIndexOf(last) + 1, 0, ...repeated);
  }
  return { events, logged };
}

function interleaved(lives: readonly (readonly Command[])[], turns: readonly number[]): OrderCommand[] {
  const left = lives.map((commands, index) => commands.map((command) => ({ orderId: `order-${index}`, command })));
  const taken = turns.flatMap((turn) => left[turn % left.length]?.shift() ?? []);
  return [...taken, ...left.flat()];
}

function decided(commands: readonly OrderCommand[], partitions: number): readonly PlacedEvent[] {
  const orders = new Map<string, { state: ReturnType<typeof order.initial>; version: number }>();
  const sequences = new Map<number, number>();
  const events: PlacedEvent[] = [];
  for (const [step, { orderId, command }] of commands.entries()) {
    const known = orders.get(orderId) ?? { state: order.initial(), version: 0 };
    orders.set(orderId, known);
    const occurredAtMs = START_MS + step * STEP_MS;
    const context = { aggregateId: orderId, commandId: `command-${step}`, occurredAt: new Date(occurredAtMs) };
    const decision = order.decide(known.state, create(OrderCommandSchema, { command }), context);
    for (const facts of isRejected(decision) ? [] : decision) {
      const partition = partitionOf(orderId, partitions);
      const sequence = (sequences.get(partition) ?? 0) + 1;
      sequences.set(partition, sequence);
      known.version += 1;
      const metadata = create(EventMetadataSchema, {
        eventId: `${orderId}/${known.version}`,
        aggregateId: orderId,
        version: known.version,
        sequence: BigInt(sequence),
        occurredAt: timestampFromMs(occurredAtMs),
        recordedAt: timestampFromMs(occurredAtMs + 1),
        commandId: context.commandId,
        actor: "test",
        schemaVersion: 1,
      });
      const { event, state } = order.happen(known.state, facts, metadata);
      known.state = state;
      events.push({ partition, sequence, event });
    }
  }
  return events;
}

export function recordOf({ partition, event }: PlacedEvent): NewRecord {
  return { topic: orderTopics.events.name, partition, key: event.metadata?.aggregateId ?? "", value: toBinary(order.eventSchema, event) };
}
