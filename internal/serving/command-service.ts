/** A domain's command service over the gateway: every command goes the same way, so a new one needs no code here. */

import { hash, randomUUID } from "node:crypto";
import { create, type DescMethod, type Message } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { status as Code } from "@grpc/grpc-js";
import {
  type CommandGateway,
  OutcomeUnknownError,
  OverloadedError,
  type Submission,
  type Submitted,
} from "../cqrs/command/command-gateway.ts";
import { type DeployedDomain, errorDomainOf } from "../cqrs/domain.ts";
import { traceHeadersOf } from "../cqrs/event/trace-context.ts";
import { LogRefusedError, LogUnavailableError, RecordsTooLargeError } from "../cqrs/log.ts";
import { positionAt, type Stream } from "../cqrs/positions.ts";
import { timestampToMs } from "../cqrs/time.ts";
import {
  type CommandOptions,
  CommandOptionsSchema,
  CommandStage,
  type Receipt,
  ReceiptSchema,
  RejectionSchema,
} from "../gen/headwater/cqrs/v1/command_pb.ts";
import type { Call } from "../grpc/call.ts";
import { deadlineExceeded, invalidArgument, resourceExhausted, StatusError, unavailable } from "../grpc/errors.ts";
import { type AnyImplementation, type GrpcService, grpcService } from "../grpc/service.ts";
import { boundedWait } from "../grpc/wait.ts";
import type { Logger } from "../platform/logging.ts";
import { actorOf } from "./actor.ts";
import { type ExecuteRequest, executeAll } from "./execute.ts";
import { commandIdOfKey, refuseKey } from "./idempotency-key.ts";
import { commandTooLarge, rejectionError } from "./rejections.ts";
import { openSession, type Session, tokensIn } from "./session.ts";
import { type AnyCommand, aggregateIdIn, submissionOf } from "./submission.ts";

/** How long a call waits for its outcome if the caller has set no deadline. */
const MAX_WAIT_MS = 20_000;

/** Clocks differ: a time so far ahead is still "now". */
const MAX_AHEAD_MS = 5 * 60 * 1000;

const RETRY_AFTER_OVERLOAD_MS = 200;
const RETRY_AFTER_OUTAGE_MS = 1_000;

/** What a command service works with. */
export interface CommandServiceOptions {
  readonly domain: DeployedDomain;
  readonly gateway: CommandGateway;
  /** The events that tokens count. */
  readonly stream: Stream;
  readonly logger: Logger;
}

/** Serves each command of a domain under the RPC that takes it, and Execute and GetCommandOutcome. */
export function commandService(options: CommandServiceOptions): GrpcService {
  const { domain } = options;
  const { service } = domain.commands;
  const methods: Record<string, AnyImplementation[string]> = {
    execute: (requests, call) => executeStream(options, requests, call),
    getCommandOutcome: (request, call) => inSession(options, call, (session) => getCommandOutcome(options, request, { call, session })),
  };
  for (const field of domain.aggregate.commandSchema.fields) {
    const method = service.methods.find((candidate: DescMethod) => candidate.input === field.message);
    if (method === undefined) throw new TypeError(`the command ${field.name} has no RPC in ${service.typeName}`);
    methods[method.localName] = (value, call) =>
      inSession(options, call, async (session) => {
        const command = { case: field.localName, value: identified(value, method, call) };
        return { receipt: await executeCommand(options, command, { call, session }) };
      });
  }
  return grpcService(service, methods, errorDomainOf(domain));
}

/** A call, and what its caller has seen. */
interface SessionCall {
  readonly call: Call;
  readonly session: Session;
}

/** Answers a call with its message, or with an error, and with what its caller has seen by then. */
async function inSession<Answer>(
  { stream }: CommandServiceOptions,
  call: Call,
  answer: (session: Session) => Promise<Answer>,
): Promise<Answer> {
  const session = openSession(call, tokensIn(call), [stream]);
  try {
    return await answer(session);
  } finally {
    session.end();
  }
}

async function* executeStream(options: CommandServiceOptions, requests: AsyncIterable<ExecuteRequest>, call: Call) {
  refuseKey(call);
  const session = openSession(call, tokensIn(call), [options.stream]);
  try {
    yield* executeAll(options.domain, (command) => executeCommand(options, command, { call, session }), requests);
  } finally {
    session.end();
  }
}

/** The command with the id that its caller gave it in the metadata, if it has none in its options. */
function identified(value: AnyCommand["value"], method: DescMethod, call: Call): AnyCommand["value"] {
  const commandId = value.options?.commandId ? undefined : commandIdOfKey(call, method);
  return commandId === undefined ? value : { ...value, options: { ...(value.options ?? create(CommandOptionsSchema)), commandId } };
}

async function executeCommand(options: CommandServiceOptions, command: AnyCommand, { call, session }: SessionCall): Promise<Receipt> {
  const { domain } = options;
  const commandOptions = command.value.options;
  const views = checkedViews(
    commandOptions,
    domain.views.map(({ name }) => name),
  );
  const told = session.including({ field: "options.consistency_token", token: commandOptions?.consistencyToken ?? "" });
  checkTime(commandOptions);
  const trace = traceHeadersOf((name) => call.header(name));
  const submission = submissionOf(domain, command, { newId: randomUUID, hash: sha256, actor: actorOf(call), trace });
  const stage = commandOptions?.waitFor || CommandStage.DECIDED;
  const submitted = await submit(options, submission, { stage, views, call });
  if (submitted.outcome === undefined && stage !== CommandStage.ACCEPTED) throw outcomePending(submission);
  return receiptOf(options, submission, submitted, told);
}

/** The request of every domain's GetCommandOutcome, which names the aggregate as the commands do. */
type OutcomeRequest = Message & { readonly commandId: string };

async function getCommandOutcome(options: CommandServiceOptions, request: OutcomeRequest, { call, session }: SessionCall): Promise<object> {
  const { commandId } = request;
  const submission: Submission = {
    aggregateId: aggregateIdIn(options.domain, { case: "", value: request }),
    commandId: commandId.toLowerCase(),
    fingerprint: new Uint8Array(),
    actor: actorOf(call),
    correlationId: commandId,
    causationId: "",
  };
  const submitted = await submit(options, submission, { stage: CommandStage.DECIDED, views: [], call });
  const rejection = submitted.outcome?.rejection;
  if (submitted.outcome === undefined) {
    throw new StatusError(Code.NOT_FOUND, `no command ${commandId} was accepted for ${submission.aggregateId}`, {
      reason: "COMMAND_NOT_FOUND",
      metadata: factsOf(submission),
    });
  }
  if (rejection === undefined) {
    return { outcome: { case: "receipt", value: receiptOf(options, submission, submitted, session) } };
  }
  return { outcome: { case: "rejection", value: create(RejectionSchema, rejection) } };
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

function receiptOf(options: CommandServiceOptions, submission: Submission, submitted: Submitted, session: Session): Receipt {
  const { aggregateId, commandId } = submission;
  const { outcome, partition, stage, pendingViews } = submitted;
  if (outcome === undefined) {
    return create(ReceiptSchema, { aggregateId, commandId, stage, acceptedAt: timestampFromMs(submitted.acceptedAtMs) });
  }
  const decided = positionAt({ stream: options.stream.id, partition, sequence: Number(outcome.sequence) });
  const consistencyToken = session.answer(decided);
  const { rejection, version } = outcome;
  if (rejection !== undefined && submission.command !== undefined) {
    throw rejectionError(options.domain, { aggregateId, outcome, rejection, consistencyToken });
  }
  return create(ReceiptSchema, {
    aggregateId,
    commandId,
    version,
    consistencyToken,
    stage,
    pendingViews: [...pendingViews],
    ...(outcome.acceptedAt === undefined ? {} : { acceptedAt: outcome.acceptedAt }),
  });
}

function outcomePending(submission: Submission): StatusError {
  const message = "the command is accepted, but not decided yet; ask GetCommandOutcome, or send it again with the same command_id";
  return deadlineExceeded(message, { reason: "OUTCOME_PENDING", metadata: factsOf(submission) });
}

function factsOf({ aggregateId, commandId }: Submission) {
  return { aggregate_id: aggregateId, command_id: commandId };
}

function checkedViews(options: CommandOptions | undefined, known: readonly string[]): readonly string[] {
  if (options === undefined || options.views.length === 0) return known;
  const unknown = options.views.findIndex((view) => !known.includes(view));
  if (unknown === -1) return options.views;
  throw invalidArgument([
    { field: `options.views[${unknown}]`, description: `is not a view; the views are ${known.join(", ")}`, reason: "UNKNOWN_VIEW" },
  ]);
}

function checkTime(options: CommandOptions | undefined): void {
  if (options?.occurredAt === undefined || timestampToMs(options.occurredAt) <= Date.now() + MAX_AHEAD_MS) return;
  throw invalidArgument([{ field: "options.occurred_at", description: "lies in the future", reason: "TIME_IN_FUTURE" }]);
}

function sha256(bytes: Uint8Array): Uint8Array {
  return hash("sha256", bytes, "buffer");
}
