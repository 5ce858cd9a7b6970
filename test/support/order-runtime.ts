/** The runtime with orders on an embedded log in memory, part by part, for tests of what the parts do together. */

import { createHash, randomUUID } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { onTestFinished } from "vitest";
import {
  type CommandGateway,
  type CommandGatewayOptions,
  createCommandGateway,
  type Submission,
  type Submitted,
} from "../../internal/cqrs/command/command-gateway.ts";
import { type CommandHandlerOptions, runCommandHandler } from "../../internal/cqrs/command/command-handler.ts";
import type { Documents } from "../../internal/cqrs/documents.ts";
import type { DeployedDomain } from "../../internal/cqrs/domain.ts";
import type { Log } from "../../internal/cqrs/log.ts";
import type { Member, UnionInitOf } from "../../internal/cqrs/oneof.ts";
import { partitionOf } from "../../internal/cqrs/partition.ts";
import type { Projection } from "../../internal/cqrs/projection.ts";
import { runProjector } from "../../internal/cqrs/projector/projector.ts";
import type { EventReader } from "../../internal/cqrs/upcasting.ts";
import { type CommandOptionsSchema, CommandStage } from "../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { OrderCommandSchema } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { connectEmbeddedLog } from "../../internal/log/embedded/client.ts";
import { type EmbeddedLog, openEmbeddedLog } from "../../internal/log/embedded/open.ts";
import { orderEvents } from "../../internal/orders/order-events.ts";
import { orderViews } from "../../internal/orders/projection/views.ts";
import { type BackgroundApp, startBackground } from "../../internal/platform/background.ts";
import { systemClock } from "../../internal/platform/clock.ts";
import { submissionOf } from "../../internal/serving/submission.ts";
import { checkHistory, readHistory } from "./history-checker.ts";
import type { AnyOrderCommand } from "./order-domain.ts";
import { orderDomain, orderGroups, orderTopics } from "./order-domain.ts";

/** The domain, for tests that may not know it by its folder. */
export const orders = { domain: orderDomain, topics: orderTopics, groups: orderGroups, views: orderViews, events: orderEvents };

/** A command in short form. */
export type OrderCommandInit = Member<UnionInitOf<typeof OrderCommandSchema>>;

/** Few enough that orders share partitions. */
export const partitions = 4;

const ANSWER_DEADLINE_MS = 30_000;

/** Opens the log of the order topics; it is closed with the test. */
export async function openOrderLog(): Promise<EmbeddedLog> {
  const log = await newOrderLog(partitions);
  onTestFinished(() => log[Symbol.asyncDispose]());
  return log;
}

/** A log of the order topics, for whoever closes it himself. */
export function newOrderLog(partitionCount: number): Promise<EmbeddedLog> {
  return openEmbeddedLog({ directory: null, partitions: partitionCount, topics: Object.values(orderTopics) });
}

/** Another connection to the log, for a part that may end without warning. */
export function connectOrderLog(log: EmbeddedLog): Promise<Log> {
  return connectEmbeddedLog(log.connect(), { durable: false });
}

/** A gateway; it is closed with the test. */
export async function openGateway(log: Log, options: Partial<CommandGatewayOptions> = {}): Promise<CommandGateway> {
  const gateway = await createCommandGateway({ log, domain: orderDomain, clock: systemClock, instance: randomUUID(), ...options });
  onTestFinished(() => gateway[Symbol.asyncDispose]());
  return gateway;
}

/** A command handler. A test that does not stop it leaves that to its own end. */
export function startHandler(
  log: Log,
  instance = "handler",
  domain: DeployedDomain = orderDomain,
  parts: Partial<CommandHandlerOptions> = {},
): BackgroundApp {
  const options = { log, domain, clock: systemClock, group: orderGroups.handler, instance, ...parts };
  return untilTestFinished(startBackground((signal) => runCommandHandler({ ...options, signal })));
}

/** What a projector may be given other than production has it. */
interface ProjectorParts {
  readonly views?: readonly Projection[];
  readonly events?: EventReader;
  readonly batchEvents?: number;
}

/** A projector of all order views. */
export function startProjector(log: Log, documents: Documents, instance = "projector", parts: ProjectorParts = {}): BackgroundApp {
  const source = { log, documents, clock: systemClock, events: orderEvents, topics: orderTopics, views: orderViews, ...parts };
  return untilTestFinished(startBackground((signal) => runProjector({ ...source, group: orderGroups.projector, instance, signal })));
}

/** A submission of a command as the command service makes it. */
export function submission(
  orderId: string,
  command: OrderCommandInit,
  options: MessageInitShape<typeof CommandOptionsSchema> = {},
): Submission {
  const { command: typed } = create(OrderCommandSchema, {
    command: { ...command, value: { ...command.value, orderId, options } } as OrderCommandInit,
  });
  const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest();
  return submissionOf(orderDomain, typed as AnyOrderCommand, { newId: randomUUID, hash, actor: "test" });
}

/** Submits and waits for the decision. */
export function submit(gateway: CommandGateway, submitted: Submission, stage: CommandStage = CommandStage.DECIDED): Promise<Submitted> {
  return gateway.submit(submitted, { stage, views: orderViews.map(({ name }) => name), signal: AbortSignal.timeout(ANSWER_DEADLINE_MS) });
}

/** The question after a command's outcome. */
export function inquiry(submitted: Submission): Submission {
  const { command: _, ...question } = submitted;
  return question;
}

function untilTestFinished(app: BackgroundApp): BackgroundApp {
  onTestFinished(async () => {
    // A test that breaks it awaits `stopped` itself.
    await Promise.allSettled([app[Symbol.asyncDispose]()]);
  });
  return app;
}

/** A draft with one line of 2 × 1.00 EUR. */
export const createOrder: OrderCommandInit = {
  case: "createOrder",
  value: {
    customerId: "ada",
    currencyCode: "EUR",
    lines: [{ lineId: "1", sku: "tea", quantity: 2, unitPrice: { currencyCode: "EUR", minorUnits: 100n } }],
    shippingAddress: { country: "Ireland" },
  },
};

export const placeOrder: OrderCommandInit = { case: "placeOrder", value: {} };

export function changeQuantity(quantity: number): OrderCommandInit {
  return { case: "changeLineQuantity", value: { lineId: "1", quantity } };
}

/** An order id in a partition. */
export function orderIn(partition: number, name = "order"): string {
  for (let count = 0; ; count += 1) if (partitionOf(`${name}-${count}`, partitions) === partition) return `${name}-${count}`;
}

/** What is wrong with everything in the log and with the answers. */
export async function problemsIn(
  log: Log,
  answered: readonly (Submitted & { readonly aggregateId: string })[] = [],
): Promise<readonly string[]> {
  const answers = answered.flatMap(({ aggregateId, outcome }) => (outcome === undefined ? [] : [{ aggregateId, outcome }]));
  return checkHistory(orderDomain, await readHistory(log, orderDomain), answers);
}
