/** OrderCommandService over the gateway: every command goes the same way, so a new one needs no code here. */

import { hash, randomUUID } from "node:crypto";
import { create, type DescMethod, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { status as Code } from "@grpc/grpc-js";
import {
  type CommandGateway,
  OutcomeUnknownError,
  OverloadedError,
  type Submission,
  type Submitted,
} from "../../internal/cqrs/command/command-gateway.ts";
import { traceHeadersOf } from "../../internal/cqrs/event/trace-context.ts";
import { LogRefusedError, LogUnavailableError, RecordsTooLargeError } from "../../internal/cqrs/log.ts";
import { mergePositions, noPositions, type Positions, positionAt, type Stream } from "../../internal/cqrs/positions.ts";
import { formatToken, OtherStreamError, parseToken, TokenError } from "../../internal/cqrs/query/token.ts";
import { timestampToMs } from "../../internal/cqrs/time.ts";
import { type CommandOptions, CommandStage } from "../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import {
  type GetCommandOutcomeRequest,
  type GetCommandOutcomeResponseSchema,
  OrderCommandSchema,
  OrderCommandService,
  type Receipt,
  ReceiptSchema,
} from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import type { Call } from "../../internal/grpc/call.ts";
import { deadlineExceeded, invalidArgument, resourceExhausted, StatusError, unavailable } from "../../internal/grpc/errors.ts";
import { type GrpcService, grpcService, type Implementation } from "../../internal/grpc/service.ts";
import { boundedWait } from "../../internal/grpc/wait.ts";
import { type AnyOrderCommand, submissionOf } from "../../internal/orders/command/submission.ts";
import type { Logger } from "../../internal/platform/logging.ts";
import { actorOf } from "./actor.ts";
import { type Execute, executeAll } from "./execute.ts";
import { commandTooLarge, reasonOf, rejectionError } from "./rejections.ts";

/** How long a call waits for its outcome if the caller has set no deadline. */
const MAX_WAIT_MS = 20_000;

/** Clocks differ: a time so far ahead is still "now". */
const MAX_AHEAD_MS = 5 * 60 * 1000;

const RETRY_AFTER_OVERLOAD_MS = 200;
const RETRY_AFTER_OUTAGE_MS = 1_000;

export interface CommandServiceOptions {
  readonly gateway: CommandGateway;
  /** The events that tokens count. */
  readonly stream: Stream;
  /** The views that a caller can wait for. */
  readonly views: readonly string[];
  readonly logger: Logger;
}

export function orderCommandService(options: CommandServiceOptions): GrpcService {
  const execute: Execute = (command, call) => executeCommand(options, command, call);
  const commands = OrderCommandSchema.fields.map((field) => {
    const method = OrderCommandService.methods.find((candidate: DescMethod) => candidate.input === field.message);
    if (method === undefined) throw new TypeError(`the command ${field.name} has no method`);
    const respond = async (value: AnyOrderCommand["value"], call: Call) => ({
      receipt: await execute({ case: field.localName, value } as AnyOrderCommand, call),
    });
    return [method.localName, respond];
  });
  return grpcService(OrderCommandService, {
    ...Object.fromEntries(commands),
    execute: (requests, call) => executeAll(execute, requests, call),
    getCommandOutcome: (request, call) => getCommandOutcome(options, request, call),
  } as Implementation<typeof OrderCommandService>);
}

async function executeCommand(options: CommandServiceOptions, command: AnyOrderCommand, call: Call): Promise<Receipt> {
  const commandOptions = command.value.options;
  const views = checkedViews(commandOptions, options.views);
  const session = sessionOf(commandOptions, options.stream);
  checkTime(commandOptions);
  const trace = traceHeadersOf((name) => call.header(name));
  const submission = submissionOf(command, { newId: randomUUID, hash: sha256, actor: actorOf(call), trace });
  const stage = commandOptions?.waitFor || CommandStage.DECIDED;
  const submitted = await submit(options, submission, { stage, views, call });
  if (submitted.outcome === undefined && stage !== CommandStage.ACCEPTED) throw outcomePending(submission);
  return receiptOf(options, submission, submitted, session);
}

async function getCommandOutcome(options: CommandServiceOptions, request: GetCommandOutcomeRequest, call: Call) {
  const submission: Submission = {
    aggregateId: request.orderId,
    commandId: request.commandId.toLowerCase(),
    fingerprint: new Uint8Array(),
    actor: actorOf(call),
    correlationId: request.commandId,
    causationId: "",
  };
  const submitted = await submit(options, submission, { stage: CommandStage.DECIDED, views: [], call });
  const rejection = submitted.outcome?.rejection;
  if (submitted.outcome === undefined) {
    throw new StatusError(Code.NOT_FOUND, `no command ${request.commandId} was accepted for the order ${request.orderId}`, {
      reason: "COMMAND_NOT_FOUND",
      metadata: { order_id: request.orderId, command_id: request.commandId },
    });
  }
  type Response = MessageInitShape<typeof GetCommandOutcomeResponseSchema>;
  if (rejection === undefined) {
    return { outcome: { case: "receipt", value: receiptOf(options, submission, submitted, noPositions) } } satisfies Response;
  }
  const { message, metadata } = rejection;
  return { outcome: { case: "rejection", value: { reason: reasonOf(rejection.reason), message, metadata } } } satisfies Response;
}

interface WaitFor {
  readonly stage: CommandStage;
  readonly views: readonly string[];
  readonly call: Call;
}

async function submit(
  { gateway, logger }: CommandServiceOptions,
  submission: Submission,
  { stage, views, call }: WaitFor,
): Promise<Submitted> {
  using wait = boundedWait(call, MAX_WAIT_MS);
  try {
    return await gateway.submit(submission, { stage, views, signal: wait.signal });
  } catch (error) {
    if (error instanceof OutcomeUnknownError) throw outcomePending(submission);
    if (error instanceof OverloadedError) {
      throw resourceExhausted("too many commands are waiting; try again shortly", { reason: "TOO_MANY_COMMANDS" }, RETRY_AFTER_OVERLOAD_MS);
    }
    if (error instanceof RecordsTooLargeError) {
      logger.warn({ err: error }, "a command is larger than the log takes");
      throw commandTooLarge(submission);
    }
    if (error instanceof LogRefusedError) {
      // Its text is an operator's: the process ends with it.
      const message = "the log does not take commands from this server, which ends; send it again with the same command_id";
      throw unavailable(message, { reason: "LOG_UNAVAILABLE", metadata: { command_id: submission.commandId } }, RETRY_AFTER_OUTAGE_MS);
    }
    if (error instanceof LogUnavailableError) {
      const message = "the log is not available, so nobody knows whether it took the command; send it again with the same command_id";
      throw unavailable(message, { reason: "LOG_UNAVAILABLE", metadata: { command_id: submission.commandId } }, RETRY_AFTER_OUTAGE_MS);
    }
    throw error;
  }
}

function receiptOf(options: CommandServiceOptions, submission: Submission, submitted: Submitted, session: Positions): Receipt {
  const { aggregateId: orderId, commandId } = submission;
  const { outcome, partition, stage, pendingViews } = submitted;
  if (outcome === undefined) {
    return create(ReceiptSchema, { orderId, commandId, stage, acceptedAt: timestampFromMs(submitted.acceptedAtMs) });
  }
  const decided = positionAt({ stream: options.stream.id, partition, sequence: Number(outcome.sequence) });
  const consistencyToken = formatToken(mergePositions(session, decided));
  const { rejection, version } = outcome;
  if (rejection !== undefined && submission.command !== undefined) throw rejectionError({ orderId, outcome, rejection, consistencyToken });
  return create(ReceiptSchema, {
    orderId,
    commandId,
    version,
    consistencyToken,
    stage,
    pendingViews: [...pendingViews],
    ...(outcome.acceptedAt === undefined ? {} : { acceptedAt: outcome.acceptedAt }),
  });
}

function outcomePending({ aggregateId, commandId }: Submission): StatusError {
  const message = "the command is accepted, but not decided yet; ask GetCommandOutcome, or send it again with the same command_id";
  return deadlineExceeded(message, { reason: "OUTCOME_PENDING", metadata: { order_id: aggregateId, command_id: commandId } });
}

function checkedViews(options: CommandOptions | undefined, known: readonly string[]): readonly string[] {
  if (options === undefined || options.views.length === 0) return known;
  const unknown = options.views.findIndex((view) => !known.includes(view));
  if (unknown === -1) return options.views;
  throw invalidArgument([
    { field: `options.views[${unknown}]`, description: `is not a view; the views are ${known.join(", ")}`, reason: "UNKNOWN_VIEW" },
  ]);
}

function sessionOf(options: CommandOptions | undefined, stream: Stream): Positions {
  try {
    return parseToken(options?.consistencyToken ?? "", [stream]);
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    const reason = error instanceof OtherStreamError ? "TOKEN_OF_ANOTHER_STREAM" : "INVALID_TOKEN";
    throw invalidArgument([{ field: "options.consistency_token", description: error.message, reason }]);
  }
}

function checkTime(options: CommandOptions | undefined): void {
  if (options?.occurredAt === undefined || timestampToMs(options.occurredAt) <= Date.now() + MAX_AHEAD_MS) return;
  throw invalidArgument([{ field: "options.occurred_at", description: "lies in the future", reason: "TIME_IN_FUTURE" }]);
}

function sha256(bytes: Uint8Array): Uint8Array {
  return hash("sha256", bytes, "buffer");
}
