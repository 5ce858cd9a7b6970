import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import type { LogRecord } from "../../internal/cqrs/log.ts";
import { CommandOutcomeSchema } from "../../internal/gen/headwater/cqrs/v1/record_pb.ts";
import { AggregateSnapshotSchema, PartitionPositionSchema } from "../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { type OrderEvent, OrderEventSchema } from "../../internal/gen/headwater/orders/v1/order_event_pb.ts";
import { type Answer, checkHistory, type PartitionHistory, readHistory } from "./history-checker.ts";
import {
  changeQuantity,
  createOrder,
  openGateway,
  openOrderLog,
  orderIn,
  orders,
  placeOrder,
  startHandler,
  submission,
  submit,
} from "./order-runtime.ts";

interface Run {
  readonly history: readonly PartitionHistory[];
  readonly answers: readonly Answer[];
}

type Fault = (
  partition: PartitionHistory,
  answers: readonly Answer[],
) => Partial<PartitionHistory> & { readonly answers?: readonly Answer[] };

/** Each changes one thing in partition 0, whose events are: one created, other created, one changed, one changed, one placed. */
const faults: Readonly<Record<string, Fault>> = {
  "an event is missing": ({ events }) => ({ events: events.toSpliced(2, 1) }),
  "the last event is missing": ({ events }) => ({ events: events.slice(0, -1) }),
  "all events are missing": () => ({ events: [] }),
  "an event is doubled": ({ events }) => ({ events: events.toSpliced(2, 0, ...events.slice(2, 3)) }),
  "events of two orders are swapped": ({ events }) => ({ events: swapped(events, 0, 1) }),
  "events of one order are swapped": ({ events }) => ({ events: swapped(events, 2, 3) }),
  "an event has another version": ({ events }) => ({ events: edited(events, 2, ({ metadata }) => metadata && (metadata.version += 1)) }),
  "an event has another sequence": ({ events }) => ({ events: edited(events, 2, ({ metadata }) => metadata && (metadata.sequence += 1n)) }),
  "an event has another command": ({ events }) => ({ events: edited(events, 2, ({ metadata }) => metadata && (metadata.commandId = "")) }),
  "an event has other facts": ({ events }) => ({ events: edited(events, 0, (event) => (event.customerId = "mallory")) }),
  "an event has another key": ({ events }) => ({ events: events.with(0, { ...(events[0] as LogRecord), key: "mallory" }) }),
  "a command was never recorded": ({ commands }) => ({ commands: commands.slice(1) }),
  "a state record is lost": ({ state }) => ({ state: new Map([...state].filter(([key]) => key !== one)) }),
  "a state record is old": ({ state }) => ({ state: new Map([...state, [one, snapshot(state, (kept) => (kept.version -= 1))]]) }),
  "a state record forgot an outcome": ({ state }) => ({
    state: new Map([...state, [one, snapshot(state, (kept) => kept.outcomes.pop())]]),
  }),
  "a state record holds another order": ({ state }) => ({ state: new Map([...state, [one, state.get(other) ?? new Uint8Array()]]) }),
  "a position is old": ({ state }) => ({
    state: new Map([...state, ["__position", toBinary(PartitionPositionSchema, create(PartitionPositionSchema))]]),
  }),
  "a dead letter is missing": () => ({ deadLetters: [] }),
  "a dead letter is doubled": ({ deadLetters }) => ({ deadLetters: [...deadLetters, ...deadLetters] }),
  "a caller got another version": (_, answers) => ({ answers: answered(answers, 0, { version: 7 }) }),
  "a caller got an answer to nothing": (_, answers) => ({ answers: answered(answers, 0, { commandId: "nobody sent this" }) }),
  "a caller was refused what was done": (_, answers) => ({
    answers: answered(answers, 0, { rejection: { $typeName: "headwater.cqrs.v1.Rejection", reason: "NO", message: "", metadata: {} } }),
  }),
};

const [one, other] = [orderIn(0, "one"), orderIn(0, "other")];

describe("the history checker", () => {
  it("finds nothing in a true history, and every planted fault", async () => {
    const run = await recorded();
    expect(check(run)).toEqual([]);
    const missed = Object.entries(faults).filter(([, fault]) => check(planted(run, fault)).length === 0);
    expect(missed.map(([name]) => name)).toEqual([]);
  });
});

function check({ history, answers }: Run): readonly string[] {
  return checkHistory(orders.domain, history, answers);
}

async function recorded(): Promise<Run> {
  const log = await openOrderLog();
  startHandler(log);
  const gateway = await openGateway(log);
  const answers: Answer[] = [];
  const commands = [
    submission(one, createOrder),
    submission(other, createOrder),
    submission(one, changeQuantity(3)),
    submission(one, changeQuantity(4)),
    submission(other, { case: "deliverOrder", value: {} }),
    submission(one, placeOrder),
  ];
  for (const command of commands) {
    const { outcome } = await submit(gateway, command);
    if (outcome !== undefined) answers.push({ aggregateId: command.aggregateId, outcome });
  }
  await log.append([{ topic: orders.topics.commands.name, partition: 0, key: one, value: Uint8Array.of(255) }]);
  await submit(gateway, submission(one, placeOrder));
  return { history: await readHistory(log, orders.domain), answers };
}

function planted({ history, answers }: Run, fault: Fault): Run {
  const [first, ...rest] = history;
  if (first === undefined) throw new Error("there is no partition 0");
  const { answers: wrong, ...changes } = fault(first, answers);
  return { history: [{ ...first, ...changes }, ...rest], answers: wrong ?? answers };
}

function swapped(events: readonly LogRecord[], a: number, b: number): readonly LogRecord[] {
  return events.with(a, events[b] as LogRecord).with(b, events[a] as LogRecord);
}

function edited(events: readonly LogRecord[], index: number, edit: (event: OrderEvent) => void): readonly LogRecord[] {
  const record = events[index] as LogRecord;
  const event = fromBinary(OrderEventSchema, record.value);
  edit(event);
  return events.with(index, { ...record, value: toBinary(OrderEventSchema, event) });
}

function snapshot(state: PartitionHistory["state"], edit: (kept: { version: number; outcomes: unknown[] }) => void): Uint8Array {
  const kept = fromBinary(AggregateSnapshotSchema, state.get(one) ?? new Uint8Array());
  edit(kept);
  return toBinary(AggregateSnapshotSchema, kept);
}

function answered(answers: readonly Answer[], index: number, change: Partial<Answer["outcome"]>): readonly Answer[] {
  const answer = answers[index] as Answer;
  return answers.with(index, { ...answer, outcome: create(CommandOutcomeSchema, { ...answer.outcome, ...change }) });
}
