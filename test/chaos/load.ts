/** Many clients at once: orders' lives, repeated and contradicting commands, races for a version, and reads with tokens. */

import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { status as Code } from "@grpc/grpc-js";
import { CommandStage } from "../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import {
  type CreateOrderRequest,
  OrderCommandService,
  type Receipt,
  RejectionReason,
} from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { createOrder } from "../../internal/orders/domain/testing/commands.ts";
import { CallError, createGrpcClient, type GrpcClient } from "../support/grpc-client.ts";
import { newSlot, nextCommand, type SendOptions, type Sent, type Slot, sentOf } from "./commands.ts";
import { type Attempt, type ClientHistory, emptyHistory, type Read, type Result } from "./history.ts";
import { createRandom, type Random } from "./random.ts";

export interface LoadOptions {
  readonly commandAddresses: readonly string[];
  readonly queryAddresses: readonly string[];
  readonly seed: number;
  readonly sessions: number;
  readonly commandsPerSecond: number;
}

export interface Load {
  readonly history: ClientHistory;
  /** Ends the sessions. */
  stop(): Promise<void>;
  /** Sends again what nobody knows the outcome of, until it is known. Returns how many commands stay unknown. */
  settle(deadlineMs: number): Promise<number>;
  /** Sends a command until all views show it. @throws {Error} they do not in time */
  roundTrip(orderId: string, deadlineMs: number): Promise<void>;
}

/** Fewer than the outcomes that an order remembers. */
const COMMANDS_PER_ORDER = 40;

/** Orders that several sessions change at once. */
const SHARED_ORDERS = 16;

const KEPT_FOR_LATER = 20;
const RETRIES = 6;

/** Reasons of calls that were refused before anything was done. */
const refusals: ReadonlySet<string> = new Set(["NOT_SERVING", "SERVER_STOPPING", "TOO_MANY_CALLS", "TOO_MANY_COMMANDS"]);

/** What a session does with a command. */
type Manner = "once" | "twice at once" | "again later" | "other facts" | "expected version" | "accepted" | "projected" | "asked";

const manners: readonly Manner[] = [
  ...Array.from({ length: 9 }, () => "once" as const),
  "twice at once",
  "again later",
  "other facts",
  "expected version",
  "expected version",
  "accepted",
  "projected",
  "asked",
];

export function startLoad(options: LoadOptions): Load {
  const history = emptyHistory();
  const commandClients = options.commandAddresses.map(createGrpcClient);
  const queryClients = options.queryAddresses.map(createGrpcClient);
  const shared = Array.from({ length: SHARED_ORDERS }, (_, index) => newSlot(createRandom(options.seed * 31 + index)));
  const sent: Sent[] = [];
  const stopped = new AbortController();
  const sessions = Array.from({ length: options.sessions }, (_, index) => runSession(index));

  return {
    history,
    async stop() {
      stopped.abort();
      await Promise.all(sessions);
    },
    async settle(deadlineMs) {
      const endMs = performance.now() + deadlineMs;
      const known = new Set(history.attempts.filter(isFinal).map(({ commandId }) => commandId));
      const open = [...new Map(sent.filter(({ commandId }) => !known.has(commandId)).map((each) => [each.commandId, each])).values()];
      const left = await Promise.all(
        open.map(async (command, index) => {
          for (let round = index; performance.now() < endMs; round += 1) {
            const { result } = await call(command, round, 10_000);
            if (result.kind !== "unknown" && result.kind !== "failed") return 0;
            await delay(200);
          }
          return 1;
        }),
      );
      return left.reduce<number>((sum, each) => sum + each, 0);
    },
    async roundTrip(orderId, deadlineMs) {
      const endMs = performance.now() + deadlineMs;
      const command = prepare(orderId, createOrder(), { commandId: randomUUID(), waitFor: CommandStage.PROJECTED });
      for (let round = 0; performance.now() < endMs; round += 1) {
        const { result } = await call(command, round, 10_000);
        if (result.kind === "ok" && result.stage === CommandStage.PROJECTED) return;
        await delay(200);
      }
      throw new Error(`a command of ${orderId} did not reach the views in ${deadlineMs} ms`);
    },
  };

  async function runSession(session: number): Promise<void> {
    const random = createRandom(options.seed * 1_000 + session);
    const meanMs = (1_000 * options.sessions) / options.commandsPerSecond;
    const earlier: Sent[] = [];
    let own = newSlot(random);
    while (!stopped.signal.aborted) {
      await delay(random.next() * 2 * meanMs);
      if (own.commands >= COMMANDS_PER_ORDER) own = newSlot(random);
      const slot = random.chance(0.5) ? own : takeShared(random);
      await act(session, slot, random, earlier);
    }
  }

  function takeShared(random: Random): Slot {
    const index = random.integer(0, SHARED_ORDERS - 1);
    let slot = shared[index] ?? newSlot(random);
    if (slot.commands >= COMMANDS_PER_ORDER) slot = newSlot(random);
    shared[index] = slot;
    return slot;
  }

  async function act(session: number, slot: Slot, random: Random, earlier: Sent[]): Promise<void> {
    const manner = random.pick(manners);
    const again = manner === "again later" ? earlier[random.integer(0, earlier.length)] : undefined;
    const command = again ?? fresh(slot, manner, random);
    const first = random.integer(0, 1);
    const calls = [untilKnown(command, first, random)];
    if (manner === "twice at once") calls.push(untilKnown(command, first + 1, random));
    if (manner === "other facts") {
      const other = prepare(slot.orderId, nextCommand(slot, random), { commandId: command.commandId });
      calls.push(call(other, first + 1, random.integer(1_000, 4_000)));
    }
    const [attempt] = await Promise.all(calls);
    if (attempt === undefined) return;
    earlier.unshift(command);
    earlier.splice(KEPT_FOR_LATER);
    if (again === undefined) learn(slot, attempt.result, random);
    if (manner === "asked") await ask(command, first + 1);
    if (random.chance(0.35)) await readBack(session, command.orderId, attempt.result, random);
  }

  function fresh(slot: Slot, manner: Manner, random: Random): Sent {
    slot.commands += 1;
    const waitFor = manner === "accepted" ? CommandStage.ACCEPTED : manner === "projected" ? CommandStage.PROJECTED : undefined;
    return prepare(slot.orderId, nextCommand(slot, random), {
      commandId: random.uuid(),
      ...(manner === "expected version" ? { expectedVersion: slot.version } : {}),
      ...(waitFor === undefined ? {} : { waitFor }),
    });
  }

  function prepare(orderId: string, command: Parameters<typeof sentOf>[1], sendOptions: SendOptions): Sent {
    const prepared = sentOf(orderId, command, sendOptions);
    sent.push(prepared);
    return prepared;
  }

  function learn(slot: Slot, result: Result, random: Random): void {
    if (result.kind === "ok") {
      slot.version = Math.max(slot.version, result.version ?? 0);
      slot.step += 1;
    }
    if (result.kind === "rejected") {
      slot.version = Math.max(slot.version, result.version);
      if (random.chance(0.5)) slot.step += 1;
    }
  }

  /** Sends a command, and again to the other instance while nobody knows its outcome. */
  async function untilKnown(command: Sent, first: number, random: Random): Promise<Attempt> {
    for (let round = 0; ; round += 1) {
      const attempt = await call(command, first + round, random.integer(1_000, 5_000));
      if (isFinal(attempt) || round === RETRIES || stopped.signal.aborted) return attempt;
      await delay(random.integer(50, 1_000));
    }
  }

  async function call(command: Sent, instance: number, deadlineMs: number): Promise<Attempt> {
    const { orderId, commandId, fingerprint, expectedVersion } = command;
    return record(
      { orderId, commandId, fingerprint, isInquiry: false, ...(expectedVersion === undefined ? {} : { expectedVersion }) },
      send(clientOf(commandClients, instance), command, deadlineMs).then(resultOfReceipt, resultOfError),
    );
  }

  async function ask({ orderId, commandId, fingerprint }: Sent, instance: number): Promise<void> {
    const { getCommandOutcome } = OrderCommandService.method;
    const asked = clientOf(commandClients, instance).call(getCommandOutcome, { orderId, commandId }, { deadlineMs: 5_000 });
    const answered = asked.then(({ outcome }): Result => {
      if (outcome.case === "receipt") return resultOfReceipt(outcome.value);
      const { reason = 0, message = "", metadata = {} } = outcome.value ?? {};
      const version = Number(metadata["current_version"]);
      const [name = ""] = Object.entries(RejectionReason).find(([, number]) => number === reason) ?? [];
      return { kind: "rejected", reason: name, message, version, token: "" };
    }, resultOfError);
    await record({ orderId, commandId, fingerprint, isInquiry: true }, answered);
  }

  async function record(
    about: Pick<Attempt, "orderId" | "commandId" | "fingerprint" | "expectedVersion" | "isInquiry">,
    answered: Promise<Result>,
  ): Promise<Attempt> {
    const attempt: Attempt = { ...about, startedAtMs: performance.now(), endedAtMs: Number.POSITIVE_INFINITY, result: pending };
    history.attempts.push(attempt);
    attempt.result = await answered;
    attempt.endedAtMs = performance.now();
    return attempt;
  }

  /** Reads what was just written, and what was just read from the other instance. */
  async function readBack(session: number, orderId: string, result: Result, random: Random): Promise<void> {
    const isDecided = (result.kind === "ok" && result.version !== undefined) || result.kind === "rejected";
    let token = isDecided ? result.token : "";
    let after: Read["after"] = "write";
    let atLeast = isDecided && token !== "" ? (result.version ?? 0) : 0;
    for (const instance of [random.integer(0, 1), random.integer(0, 1)]) {
      const startedAtMs = performance.now();
      try {
        const client = clientOf(queryClients, instance);
        const answer = await client.call(OrderQueryService.method.getOrder, { orderId, consistencyToken: token }, { deadlineMs: 3_000 });
        history.reads.push({ session, orderId, atLeast, after, startedAtMs, order: answer.order });
        token = answer.consistencyToken;
        atLeast = answer.order?.version ?? 0;
        after = "read";
      } catch (error) {
        if (error instanceof CallError && error.reason === "ORDER_NOT_FOUND") {
          history.reads.push({ session, orderId, atLeast, after, startedAtMs, order: undefined });
        } else {
          const reason = error instanceof CallError ? (error.reason ?? Code[error.code] ?? "") : String(error);
          history.failedReads.set(reason, (history.failedReads.get(reason) ?? 0) + 1);
        }
        return;
      }
    }
  }
}

const invalid: number = Code.INVALID_ARGUMENT;

const pending: Result = { kind: "unknown", reason: "not answered" };

function isFinal({ result }: Attempt): boolean {
  return result.kind === "ok" || result.kind === "rejected";
}

async function send(client: GrpcClient, { command }: Sent, deadlineMs: number): Promise<Receipt> {
  // All commands are alike in what matters here: a request with an order, and an answer with a receipt.
  const method = OrderCommandService.method[command.case] as unknown as typeof OrderCommandService.method.createOrder;
  const { receipt } = await client.call(method, command.value as CreateOrderRequest, { deadlineMs });
  if (receipt === undefined) throw new Error("there is no receipt in the answer");
  return receipt;
}

function resultOfReceipt({ version, consistencyToken, stage, acceptedAt }: Receipt): Result {
  if (stage === CommandStage.ACCEPTED) return { kind: "ok", stage, token: "" };
  const accepted = acceptedAt === undefined ? {} : { acceptedAtMs: timestampMs(acceptedAt) };
  return { kind: "ok", stage, version, token: consistencyToken, ...accepted };
}

function resultOfError(error: unknown): Result {
  if (!(error instanceof CallError)) return { kind: "unknown", reason: String(error) };
  const { code, reason = Code[code] ?? "", metadata, message } = error;
  if (metadata["version"] !== undefined) {
    return { kind: "rejected", reason, message, version: Number(metadata["version"]), token: metadata["consistency_token"] ?? "" };
  }
  const isRefused = refusals.has(reason) || invalid === code || reason === "COMMAND_NOT_FOUND";
  return {
    kind: isRefused ? "failed" : "unknown",
    reason: error.reason === undefined ? `${reason}: ${message.replace(/\d.*/, "…")}` : reason,
  };
}

function clientOf(clients: readonly GrpcClient[], index: number): GrpcClient {
  const client = clients[index % clients.length];
  if (client === undefined) throw new RangeError("there are no clients");
  return client;
}
