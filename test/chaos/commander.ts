/** Sends commands, alone or many on a stream, and writes down what came of each attempt. */

import { setTimeout as delay } from "node:timers/promises";
import { CommandStage, type Receipt } from "../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { type CreateOrderRequest, OrderCommandService } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { createGrpcClient, type GrpcClient } from "../support/grpc-client.ts";
import { type SendOptions, type Sent, sentOf } from "./commands.ts";
import type { Attempt, ClientHistory, Result } from "./history.ts";
import type { Random } from "./random.ts";
import { isFinal, pending, resultOfError, resultOfOutcome, resultOfReceipt, resultOfResponse } from "./results.ts";

export interface Commander {
  prepare(orderId: string, command: Parameters<typeof sentOf>[1], options: SendOptions): Sent;
  /** One attempt, at an instance by its number. */
  call(command: Sent, instance: number, deadlineMs: number): Promise<Attempt>;
  /** Sends a command, and again to another instance while nobody knows its outcome. */
  untilKnown(command: Sent, first: number, random: Random): Promise<Attempt>;
  ask(command: Sent, instance: number): Promise<void>;
  /** All commands at once on one Execute stream. */
  execute(commands: readonly Sent[], instance: number, deadlineMs: number): Promise<readonly Attempt[]>;
  /** Sends again what nobody knows the outcome of, until it is known. Returns how many commands stay unknown. */
  settle(deadlineMs: number): Promise<number>;
}

const RETRIES = 6;
const SETTLE_PAUSE_MS = 200;
const SETTLE_DEADLINE_MS = 15_000;

export function createCommander(history: ClientHistory, addresses: readonly string[], stopped: AbortSignal): Commander {
  const clients = addresses.map(createGrpcClient);
  return { prepare, call, untilKnown, ask, execute, settle };

  function prepare(orderId: string, command: Parameters<typeof sentOf>[1], options: SendOptions): Sent {
    const prepared = sentOf(orderId, command, options);
    history.sent.push(prepared);
    return prepared;
  }

  async function untilKnown(command: Sent, first: number, random: Random): Promise<Attempt> {
    for (let round = 0; ; round += 1) {
      const attempt = await call(command, first + round, random.integer(1_000, 5_000));
      if (isFinal(attempt) || round === RETRIES || stopped.aborted) return attempt;
      await delay(random.integer(50, 1_000));
    }
  }

  async function call(command: Sent, instance: number, deadlineMs: number): Promise<Attempt> {
    const attempt = begin(command, false);
    return end(attempt, await send(clientOf(clients, instance), command, deadlineMs).then(resultOfReceipt, resultOfError));
  }

  async function ask(command: Sent, instance: number): Promise<void> {
    const { orderId, commandId } = command;
    const attempt = begin(command, true);
    const asked = clientOf(clients, instance).call(
      OrderCommandService.method.getCommandOutcome,
      { orderId, commandId },
      { deadlineMs: 5_000 },
    );
    end(attempt, await asked.then(resultOfOutcome, resultOfError));
  }

  async function execute(commands: readonly Sent[], instance: number, deadlineMs: number): Promise<readonly Attempt[]> {
    const attempts = new Map(commands.map((command) => [command.commandId, begin(command, false)]));
    const requests = commands.map(({ command }) => ({ command: { command } }));
    try {
      const answers = clientOf(clients, instance).exchange(
        OrderCommandService.method.execute,
        requests,
        AbortSignal.any([AbortSignal.timeout(deadlineMs), stopped]),
      );
      for await (const response of answers) {
        const attempt = attempts.get(response.commandId);
        if (attempt !== undefined) end(attempt, resultOfResponse(response));
      }
    } catch {
      // What was not answered stays unknown.
    }
    for (const attempt of attempts.values()) if (attempt.result === pending) end(attempt, { kind: "unknown", reason: "the stream broke" });
    return [...attempts.values()];
  }

  async function settle(deadlineMs: number): Promise<number> {
    const endMs = performance.now() + deadlineMs;
    const known = new Set(history.attempts.filter(isFinal).map(({ commandId }) => commandId));
    const open = [...new Map(history.sent.filter(({ commandId }) => !known.has(commandId)).map((each) => [each.commandId, each])).values()];
    const left = await Promise.all(
      open.map(async (command, index) => {
        for (let round = index; performance.now() < endMs; round += 1) {
          const { result } = await call(command, round, SETTLE_DEADLINE_MS);
          if (result.kind !== "unknown" && result.kind !== "failed") return 0;
          await delay(SETTLE_PAUSE_MS);
        }
        return 1;
      }),
    );
    return left.reduce<number>((sum, each) => sum + each, 0);
  }

  function begin({ orderId, commandId, fingerprint, expectedVersion, waitFor }: Sent, isInquiry: boolean): Attempt {
    const attempt: Attempt = {
      orderId,
      commandId,
      fingerprint,
      isInquiry,
      waitFor: isInquiry ? CommandStage.DECIDED : waitFor,
      ...(expectedVersion === undefined || isInquiry ? {} : { expectedVersion }),
      startedAtMs: performance.now(),
      endedAtMs: Number.POSITIVE_INFINITY,
      result: pending,
    };
    history.attempts.push(attempt);
    return attempt;
  }
}

function end(attempt: Attempt, result: Result): Attempt {
  attempt.result = result;
  attempt.endedAtMs = performance.now();
  return attempt;
}

async function send(client: GrpcClient, { command }: Sent, deadlineMs: number): Promise<Receipt> {
  // All commands are alike in what matters here: a request with an order, and an answer with a receipt.
  const method = OrderCommandService.method[command.case] as unknown as typeof OrderCommandService.method.createOrder;
  const { receipt } = await client.call(method, command.value as CreateOrderRequest, { deadlineMs });
  if (receipt === undefined) throw new Error("there is no receipt in the answer");
  return receipt;
}

export function clientOf(clients: readonly GrpcClient[], index: number): GrpcClient {
  const client = clients[index % clients.length];
  if (client === undefined) throw new RangeError("there are no clients");
  return client;
}
