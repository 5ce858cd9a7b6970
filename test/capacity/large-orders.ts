/** Legal orders of a MiB by the hundred, through every process, each within the memory that the manifests give it. */

import { randomUUID } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import { CommandStage } from "../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import {
  type CreateOrderRequest,
  CreateOrderRequestSchema,
  OrderCommandService,
} from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { EventStart, OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { largeOrder, sentOf } from "../chaos/commands.ts";
import { plantedIn } from "../chaos/supervise.ts";
import { CallError, createGrpcClient, type GrpcClient } from "../support/grpc-client.ts";
import { startKafka } from "../support/kafka-server.ts";
import { startMongo } from "../support/mongo-server.ts";
import { type LimitedProcess, startLimited } from "./limited-process.ts";
import { inTurns, untilAnswered } from "./pace.ts";

export interface LargeOrdersOptions {
  readonly orders: number;
  /** A fault that is planted in every process, see test/chaos/plant.ts. */
  readonly fault?: string;
  readonly progress: (line: string) => void;
}

export interface LargeOrdersReport {
  readonly processes: readonly LimitedProcess[];
  /** What was not answered, or not as it must be. */
  readonly problems: readonly string[];
  readonly lines: readonly string[];
}

const MIB = 1024 * 1024;

/** With their descriptions nearly a MiB. */
const LINES = 940;
const CUSTOMER = "huge";

const SENDERS = 4;
const READERS = 8;
const SUBSCRIBERS = 3;
const CALL_DEADLINE_MS = 30_000;

/** What clients take in one message if they are not told otherwise. */
const PAGE_SIZES = [0, 10, 500];

export async function runLargeOrders({ orders, fault, progress }: LargeOrdersOptions): Promise<LargeOrdersReport> {
  await using stack = new AsyncDisposableStack();
  const kafka = stack.use(await startKafka());
  const mongo = stack.use(await startMongo());
  const planted = plantedIn(fault);
  const servers = { brokers: kafka.brokers, mongoUri: mongo.uri, ...planted };
  const problems: string[] = [];
  const processes: LimitedProcess[] = [];
  const start = async (name: LimitedProcess["name"], environment: Readonly<Record<string, string>> = {}): Promise<LimitedProcess> => {
    const started = stack.use(await startLimited(name, { ...servers, environment: { ...planted.environment, ...environment } }));
    processes.push(started);
    return started;
  };
  const { createOrder, getCommandOutcome } = OrderCommandService.method;
  const ids = Array.from({ length: orders }, () => randomUUID());

  // The topics and indexes are made; then the handlers are away, and commands pile up.
  const [handler, projector] = [await startLimited("command-handler", servers), await startLimited("projector", servers)];
  await handler[Symbol.asyncDispose]();
  await projector[Symbol.asyncDispose]();
  const service = await start("command-service");
  using commands = createGrpcClient(service.address);
  await inTurns(ids, SENDERS, (orderId) =>
    untilAnswered(() => commands.call(createOrder, largeOrderOf(orderId, CommandStage.ACCEPTED), deadline)),
  );
  const bytes = toBinary(CreateOrderRequestSchema, largeOrderOf(ids[0] ?? "", CommandStage.ACCEPTED)).length;
  progress(`${orders} orders of ${(bytes / MIB).toFixed(2)} MiB wait in the log`);

  await start("command-handler");
  const outcome = (orderId: string) => commands.call(getCommandOutcome, { orderId, commandId: orderId }, deadline);
  await inTurns(ids, READERS, (orderId) => untilAnswered(() => outcome(orderId)));
  progress("all are decided");
  await changeAll(commands, ids, problems);
  progress("all are changed, which reads and writes each of them again");

  await start("projector");
  const queries = await start("query-service");
  using client = createGrpcClient(queries.address);
  await start("gateway", { HEADWATER_COMMAND_URL: `http://${service.address}`, HEADWATER_QUERY_URL: `http://${queries.address}` });
  await inTurns(ids, READERS, async (orderId) => {
    const { order } = await untilAnswered(async () => {
      const answer = await client.call(OrderQueryService.method.getOrder, { orderId }, deadline);
      if (answer.order?.version !== 2) throw new Error("it is not projected yet");
      return answer;
    });
    if (order?.lines.length !== LINES) problems.push(`${orderId} has ${order?.lines.length} lines`);
  });
  progress("all are read");
  const gateway = processes.find(({ name }) => name === "gateway");
  await Promise.all([
    ...Array.from({ length: READERS }, (_, reader) => listAll(client, ids, PAGE_SIZES[reader % PAGE_SIZES.length] ?? 0, problems)),
    ...Array.from({ length: SUBSCRIBERS }, (_, reader) => subscribe(client, ids, reader === 0 ? "" : CUSTOMER, problems)),
    listByGateway(gateway?.address ?? "", ids, problems),
  ]);
  progress("all are listed and delivered");
  const ended = processes.flatMap(({ name, endings }) => endings.map((ending) => `${name} ended ${ending}`));
  const lines = processes.map(({ name, peakBytes, limitBytes, kind }) => {
    const [peak, limit] = [peakBytes, limitBytes].map((each) => String(Math.round(each / MIB)).padStart(4));
    return `${name.padEnd(16)} ${peak} of ${limit} MiB (${kind})`;
  });
  return { processes, problems: [...ended, ...problems], lines };
}

const deadline = { deadlineMs: CALL_DEADLINE_MS };

/** The command that creates it: its id is that of the order, so that it can be found again. */
function largeOrderOf(orderId: string, waitFor: CommandStage): CreateOrderRequest {
  const { command } = sentOf(orderId, largeOrder(CUSTOMER, LINES), { commandId: orderId, waitFor });
  if (command.case !== "createOrder") throw new TypeError("an order is created first");
  return command.value;
}

/** A small command for each order at once: what it weighs is the order. */
async function changeAll(client: GrpcClient, ids: readonly string[], problems: string[]): Promise<void> {
  const open = new Map(ids.map((orderId) => [randomUUID() as string, orderId]));
  for (let round = 0; open.size > 0; round += 1) {
    const requests = [...open].map(([commandId, orderId]) => {
      const value = { orderId, lineId: "1", quantity: 7, options: { commandId } };
      return { command: { command: { case: "changeLineQuantity" as const, value } } };
    });
    try {
      for await (const { commandId, result } of client.exchange(
        OrderCommandService.method.execute,
        requests,
        AbortSignal.timeout(120_000),
      )) {
        if (result.case === "receipt") open.delete(commandId);
      }
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
    }
    if (round === 20) return void problems.push(`${open.size} changes were not answered`);
  }
}

/** Every page of a list, as a client takes it that was not told to take more than usual. */
async function listAll(client: GrpcClient, ids: readonly string[], pageSize: number, problems: string[]): Promise<void> {
  const found = new Set<string>();
  for (let pageToken = ""; ; ) {
    const request = { filter: { customerId: CUSTOMER }, pageSize, pageToken };
    const page = await untilAnswered(() => client.call(OrderQueryService.method.listOrders, request, deadline));
    for (const { orderId } of page.orders) found.add(orderId);
    pageToken = page.nextPageToken;
    if (pageToken === "") break;
  }
  if (found.size !== ids.length) problems.push(`a list with pages of ${pageSize} had ${found.size} of ${ids.length} orders`);
}

async function subscribe(client: GrpcClient, ids: readonly string[], customerId: string, problems: string[]): Promise<void> {
  const wanted = 2 * ids.length;
  const seen = new Set<string>();
  let position = "";
  for (let breaks = 0; seen.size < wanted && breaks < 20; breaks += 1) {
    const request = { customerId, position, start: EventStart.BEGINNING };
    try {
      for await (const response of client.follow(OrderQueryService.method.subscribeOrderEvents, request, AbortSignal.timeout(300_000))) {
        for (const { metadata } of response.events) seen.add(metadata?.eventId ?? "");
        ({ position } = response);
        if (seen.size >= wanted) break;
      }
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
    }
  }
  if (seen.size !== wanted) problems.push(`a subscription had ${seen.size} of ${wanted} events`);
}

async function listByGateway(address: string, ids: readonly string[], problems: string[]): Promise<void> {
  let count = 0;
  for (let pageToken = ""; ; ) {
    const page = await untilAnswered(async () => {
      const response = await fetch(`http://${address}/headwater.orders.v1.OrderQueryService/ListOrders`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ filter: { customerId: CUSTOMER }, pageSize: 500, pageToken }),
      });
      if (!response.ok) throw new Error(`the gateway says ${response.status}: ${await response.text()}`);
      return (await response.json()) as { readonly orders?: readonly unknown[]; readonly nextPageToken?: string };
    });
    count += page.orders?.length ?? 0;
    pageToken = page.nextPageToken ?? "";
    if (pageToken === "") break;
  }
  if (count !== ids.length) problems.push(`the gateway listed ${count} of ${ids.length} orders`);
}
