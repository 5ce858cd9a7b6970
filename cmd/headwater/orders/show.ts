import { fromBinary, type JsonObject, toJson } from "@bufbuild/protobuf";
import type { Log } from "../../../internal/cqrs/log.ts";
import type { CommandOutcome } from "../../../internal/gen/headwater/cqrs/v1/record_pb.ts";
import { OrderStateSchema } from "../../../internal/gen/headwater/orders/v1/order_state_pb.ts";
import { ConfigError } from "../../../internal/platform/config.ts";
import { systemOptions } from "../../../internal/process/options.ts";
import { command, jsonOption } from "../command.ts";
import { print } from "../printable.ts";
import { openLog } from "../system/open.ts";
import { table } from "../table.ts";
import { type HistoryEntry, loadHistory, timeOf } from "./history.ts";
import { loadSnapshot } from "./snapshot.ts";

export const show = command({
  name: "orders show",
  about: "an order's state, what it answers retries with, and its whole history",
  takes: "<order-id>",
  details: `The state is the one that the next command is decided on. A command whose outcome is remembered gets it again whenever it is sent again.
Events are as they were written. It reads all events of the order's partition.`,
  options: { ...jsonOption, ...systemOptions },
  async run({ values, positionals }) {
    const [orderId, ...others] = positionals;
    if (orderId === undefined || others.length > 0) throw new ConfigError("name one order");
    await using log = await openLog(values);
    const order = await describe(log, orderId);
    if (order === undefined) throw new Error(`the log has no order ${JSON.stringify(orderId)}; ids are told apart exactly`);
    print(values.json ? `${JSON.stringify(order, null, 2)}\n` : toText(order));
    return 0;
  },
});

interface DescribedOrder {
  readonly orderId: string;
  readonly version: number;
  readonly sequence: number;
  readonly state: JsonObject;
  /** Oldest first. */
  readonly outcomes: readonly DescribedOutcome[];
  readonly history: readonly HistoryEntry[];
}

interface DescribedOutcome {
  readonly commandId: string;
  readonly acceptedAt: string;
  /** The order's version behind it. */
  readonly version: number;
  /** Why it was refused; absent: it was accepted. */
  readonly reason?: string;
  readonly message?: string;
}

async function describe(log: Log, orderId: string): Promise<DescribedOrder | undefined> {
  const [snapshot, history] = await Promise.all([loadSnapshot(log, orderId), loadHistory(log, orderId)]);
  if (snapshot === undefined && history.length === 0) return undefined;
  return {
    orderId,
    version: snapshot?.version ?? 0,
    sequence: Number(snapshot?.sequence ?? 0n),
    // The JSON of a message that is no well-known type is an object.
    state: toJson(OrderStateSchema, fromBinary(OrderStateSchema, snapshot?.state ?? new Uint8Array())) as JsonObject,
    outcomes: (snapshot?.outcomes ?? []).map(describeOutcome),
    history,
  };
}

function describeOutcome({ commandId, acceptedAt, version, rejection }: CommandOutcome): DescribedOutcome {
  const outcome = { commandId, acceptedAt: timeOf(acceptedAt), version };
  return rejection === undefined ? outcome : { ...outcome, reason: rejection.reason, message: rejection.message };
}

function toText({ orderId, version, sequence, state, outcomes, history }: DescribedOrder): string {
  const outcomeRows = outcomes.map((outcome) => [
    outcome.commandId,
    outcome.acceptedAt,
    outcome.version,
    outcome.reason === undefined ? "accepted" : `${outcome.reason}: ${outcome.message}`,
  ]);
  const historyRows = history.map((entry) => [
    entry.version,
    entry.type,
    entry.occurredAt,
    entry.actor,
    `${entry.partition}/${entry.offset}`,
    entry.commandId,
    entry.commandOffset === undefined ? "gone" : `${entry.partition}/${entry.commandOffset}`,
    entry.correlationId === entry.commandId ? "" : entry.correlationId,
    entry.causationId,
  ]);
  const headings = ["version", "event", "occurred", "actor", "at", "command", "command at", "correlation", "caused by"];
  return `order ${orderId}, version ${version}, sequence ${sequence}

state
${JSON.stringify(state, null, 2)}

remembered outcomes
${table(["command", "accepted", "version", "outcome"], outcomeRows)}
history
${table(headings, historyRows)}`;
}
