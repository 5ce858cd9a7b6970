/** Clients that change and read a few orders at once, and write down every call and answer, for a judge that is not ours. */

import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { OrderCommandService } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import type { Result } from "../chaos/history.ts";
import { createRandom, type Random } from "../chaos/random.ts";
import { resultOfError, resultOfOutcome, resultOfReceipt } from "../chaos/results.ts";
import { CallError, createGrpcClient, type GrpcClient } from "../support/grpc-client.ts";

/** A call and its answer, as the judge reads it. Times are in microseconds of one clock. */
export interface Operation {
  readonly order: string;
  readonly client: number;
  readonly kind: "create" | "set" | "ask" | "read";
  readonly commandId: string;
  /** What a command sets, or what a read showed. */
  readonly value: string;
  readonly expected?: number;
  /** The version that the token of a read promises. */
  readonly atLeast: number;
  readonly call: number;
  /** Absent: there was no answer, and it may still take effect. */
  readonly return?: number;
  readonly answer: "accepted" | "rejected" | "unknown" | "never sent" | "shown";
  readonly version: number;
}

export interface RecordOptions {
  readonly commandAddresses: readonly string[];
  readonly queryAddresses: readonly string[];
  readonly seed: number;
  readonly clients: number;
  readonly signal: AbortSignal;
  /** Told how many calls there have been, after each. */
  readonly onCall: (count: number) => void;
}

/** Orders that all clients change at the same time. */
const ORDERS = 3;

/** Commands of one order: the judge's work grows with what happens at once and what nobody knows, and this much is done in a second. */
const COMMANDS_PER_ORDER = 120;

const PAUSE_MS = { min: 5, max: 60 } as const;
const DEADLINE_MS = { min: 800, max: 4_000 } as const;
const READ_DEADLINE_MS = 3_000;

/** How long clients ask in the end for what nobody knows. */
const SETTLE_MS = 60_000;

interface Command {
  readonly order: string;
  readonly kind: "create" | "set";
  readonly commandId: string;
  readonly value: string;
  readonly expected?: number;
}

/**
 * What a client knows of an order: the token of its last answer, and when the command began that
 * it is of. A repeated command is answered with its first token.
 */
interface Known {
  readonly version: number;
  readonly token: string;
  readonly since: number;
}

interface Memory {
  /** By order. */
  readonly known: Map<string, Known>;
  /** When each command was sent first. */
  readonly begun: Map<string, number>;
}

/** Runs the clients until the signal aborts. */
export async function recordHistory(options: RecordOptions): Promise<readonly Operation[]> {
  const { seed, signal } = options;
  const history: Operation[] = [];
  const commands = options.commandAddresses.map(createGrpcClient);
  const queries = options.queryAddresses.map(createGrpcClient);
  const orders = Array.from({ length: ORDERS }, () => ({ id: randomUUID(), commands: 0 }));
  try {
    await Promise.all(Array.from({ length: options.clients }, (_, client) => run(client, createRandom(seed * 31 + client))));
    return withoutUnknown(history);
  } finally {
    for (const client of [...commands, ...queries]) client[Symbol.dispose]();
  }

  async function run(client: number, random: Random): Promise<void> {
    const known = new Map<string, Known>();
    const begun = new Map<string, number>();
    const unknown: Command[] = [];
    let last: Command | undefined;
    while (!signal.aborted) {
      const order = takeOrder(random);
      const choice = random.next();
      if (choice < 0.35 && known.has(order)) await read(client, order, known, random);
      else if (choice < 0.42 && last !== undefined) await ask(client, last, random);
      else {
        // Sometimes the last one once more, whatever became of it.
        const command = choice < 0.55 && last !== undefined ? last : newCommand(order, known.get(order)?.version ?? 0, random);
        last = command;
        let isKnown = await send(client, command, { known, begun }, random);
        if (!isKnown && random.chance(0.8)) isKnown = await send(client, command, { known, begun }, random);
        if (!isKnown) unknown.push(command);
      }
      options.onCall(history.length);
      await delay(random.integer(PAUSE_MS.min, PAUSE_MS.max));
    }
    const endMs = performance.now() + SETTLE_MS;
    for (const command of unknown) {
      while (!(await send(client, command, { known, begun }, random)) && performance.now() < endMs) await delay(PAUSE_MS.max);
    }
  }

  function takeOrder(random: Random): string {
    const index = random.integer(0, ORDERS - 1);
    const order = orders[index];
    if (order === undefined) throw new RangeError("there is no such order");
    order.commands += 1;
    if (order.commands > COMMANDS_PER_ORDER) orders[index] = { id: randomUUID(), commands: 1 };
    return order.id;
  }

  async function send(client: number, command: Command, { known, begun }: Memory, random: Random): Promise<boolean> {
    const { order, kind, commandId, value, expected } = command;
    const options_ = { commandId, ...(expected === undefined ? {} : { expectedVersion: expected }) };
    const target = random.pick(commands);
    const deadline = { deadlineMs: random.integer(DEADLINE_MS.min, DEADLINE_MS.max) };
    const shippingAddress = { recipient: value, country: "Ireland" };
    const call = now();
    const { createOrder, setShippingAddress } = OrderCommandService.method;
    const sent =
      kind === "create"
        ? target.call(createOrder, { orderId: order, currencyCode: "EUR", shippingAddress, options: options_ }, deadline)
        : target.call(setShippingAddress, { orderId: order, shippingAddress, options: options_ }, deadline);
    const result = await sent
      .then(({ receipt }) => {
        if (receipt === undefined) throw new Error("there is no receipt in the answer");
        return resultOfReceipt(receipt);
      })
      .catch(resultOfError);
    // What was refused at the door has not happened.
    if (result.kind === "failed") return false;
    history.push({ ...command, client, call, atLeast: 0, ...answerOf(result) });
    const since = begun.get(commandId) ?? call;
    begun.set(commandId, since);
    if (result.kind === "unknown") return false;
    if ((known.get(order)?.version ?? 0) <= (result.version ?? 0) && result.token !== "") {
      known.set(order, { version: result.version ?? 0, token: result.token, since });
    }
    return true;
  }

  async function ask(client: number, { order, commandId }: Command, random: Random): Promise<void> {
    const call = now();
    const asked = random
      .pick(commands)
      .call(OrderCommandService.method.getCommandOutcome, { orderId: order, commandId }, { deadlineMs: DEADLINE_MS.max });
    const result = await asked.then(resultOfOutcome, resultOfError);
    const about = { order, client, kind: "ask", commandId, value: "", atLeast: 0, call } as const;
    if (result.kind === "failed" && result.reason === "COMMAND_NOT_FOUND") {
      history.push({ ...about, return: now(), answer: "never sent", version: 0 });
    } else if (result.kind === "ok" || result.kind === "rejected") history.push({ ...about, ...answerOf(result) });
  }

  /**
   * What is read may be as old as the token, but no older: so it is taken to begin with the command
   * that the token is of.
   */
  async function read(client: number, order: string, known: Map<string, Known>, random: Random): Promise<void> {
    const { version: atLeast, token, since } = known.get(order) ?? { version: 0, token: "", since: 0 };
    const found = await readOrder(random.pick(queries), order, token);
    if (found === undefined) return;
    const { version, value } = found;
    history.push({ order, client, kind: "read", commandId: "", value, atLeast, call: since, return: now(), answer: "shown", version });
    known.set(order, { version: Math.max(version, atLeast), token: found.token, since });
  }
}

/** undefined: nothing was shown. */
async function readOrder(client: GrpcClient, orderId: string, consistencyToken: string) {
  try {
    const request = { orderId, consistencyToken };
    const answer = await client.call(OrderQueryService.method.getOrder, request, { deadlineMs: READ_DEADLINE_MS });
    const { version = 0, shippingAddress } = answer.order ?? {};
    return { version, value: shippingAddress?.recipient ?? "", token: answer.consistencyToken };
  } catch (error) {
    const isMissing = error instanceof CallError && error.reason === "ORDER_NOT_FOUND";
    return isMissing ? { version: 0, value: "", token: consistencyToken } : undefined;
  }
}

/** A command that was sent several times takes effect once, between its first call and its first answer. */
function withoutUnknown(history: readonly Operation[]): readonly Operation[] {
  const commands = Map.groupBy(
    history.filter(({ kind }) => kind === "create" || kind === "set"),
    ({ commandId }) => commandId,
  );
  const merged = [...commands.values()].flatMap((attempts) => {
    const [first, ...later] = attempts.filter(({ answer }) => answer !== "unknown").toSorted((a, b) => (a.return ?? 0) - (b.return ?? 0));
    const call = Math.min(...attempts.map((attempt) => attempt.call));
    return first === undefined ? attempts.slice(0, 1) : [{ ...first, call }, ...later];
  });
  return [...merged, ...history.filter(({ kind }) => kind === "ask" || kind === "read")];
}

function newCommand(order: string, version: number, random: Random): Command {
  const kind = version === 0 || random.chance(0.03) ? "create" : "set";
  const expected = random.chance(0.3) ? { expected: version } : {};
  return { order, kind, commandId: randomUUID(), value: randomUUID(), ...expected };
}

function answerOf(result: Result): Pick<Operation, "return" | "answer" | "version"> {
  if (result.kind === "ok") return { return: now(), answer: "accepted", version: result.version ?? 0 };
  if (result.kind === "rejected") return { return: now(), answer: "rejected", version: result.version };
  return { answer: "unknown", version: 0 };
}

function now(): number {
  return Math.round(performance.now() * 1_000);
}
