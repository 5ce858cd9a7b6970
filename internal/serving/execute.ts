/** The Execute stream: many commands under way at once, each answered as its decision falls. */

import type { DescMessage, DescMethod, MessageShape } from "@bufbuild/protobuf";
import { type Domain, errorDomainOf } from "../cqrs/domain.ts";
import type { Status } from "../gen/google/rpc/status_pb.ts";
import type { Receipt } from "../gen/headwater/cqrs/v1/command_pb.ts";
import { invalidArgument, StatusError, statusOf } from "../grpc/errors.ts";
import { validate } from "../grpc/validation.ts";
import { type AnyCommand, aggregateIdIn } from "./submission.ts";

/** Decides one command. */
export type Execute = (command: AnyCommand) => Promise<Receipt>;

/** The request of every domain's Execute. */
export type ExecuteRequest = MessageShape<DescMessage> & { readonly command?: { readonly command: Partial<AnyCommand> } };

/** What became of one command, as the response of every domain's Execute has it. */
export interface ExecuteResponse {
  readonly commandId: string;
  readonly aggregateId: string;
  readonly result: { readonly case: "receipt"; readonly value: Receipt } | { readonly case: "status"; readonly value: Status };
}

/** How many commands of one stream are under way at once; the next is read when one is answered. */
const MAX_UNDER_WAY = 1_024;

/**
 * Commands are handed on in the order of the stream, so those of one aggregate are decided in that order. A command that fails is answered with
 * its status and does not end the stream; what nobody expects does.
 */
export async function* executeAll(
  domain: Domain,
  execute: Execute,
  requests: AsyncIterable<ExecuteRequest>,
): AsyncGenerator<ExecuteResponse> {
  const answers: ExecuteResponse[] = [];
  let underWay = 0;
  let ended = false;
  let failure: { readonly error: unknown } | undefined;
  let change = Promise.withResolvers<void>();
  const changed = (): void => change.resolve();

  const reading = read().catch((error: unknown) => {
    failure = { error };
    changed();
  });

  while (true) {
    if (failure !== undefined) throw failure.error;
    const ready = answers.splice(0);
    if (ready.length === 0 && ended && underWay === 0) break;
    if (ready.length === 0) await change.promise;
    change = Promise.withResolvers();
    yield* ready;
    if (answers.length > 0 || (ended && underWay === 0) || failure !== undefined) changed();
  }
  await reading;

  async function read(): Promise<void> {
    let room = Promise.withResolvers<void>();
    for await (const request of requests) {
      underWay += 1;
      void answer(domain, execute, request)
        .then((response) => answers.push(response))
        .catch((error: unknown) => {
          failure = { error };
        })
        .finally(() => {
          underWay -= 1;
          room.resolve();
          changed();
        });
      if (underWay < MAX_UNDER_WAY) continue;
      room = Promise.withResolvers();
      await room.promise;
    }
    ended = true;
    changed();
  }
}

async function answer(domain: Domain, execute: Execute, request: ExecuteRequest): Promise<ExecuteResponse> {
  const command = request.command?.command;
  const commandId = command?.value?.options?.commandId ?? "";
  try {
    validate(executeMethod(domain).input, request);
    const receipt = await execute(checkedCommand(command));
    return { commandId, aggregateId: receipt.aggregateId, result: { case: "receipt", value: receipt } };
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    const aggregateId = isCommand(command) ? aggregateIdIn(domain, command) : "";
    return { commandId, aggregateId, result: { case: "status", value: statusOf(error, errorDomainOf(domain)) } };
  }
}

/** The Execute RPC of a domain. @throws {TypeError} its service has none */
function executeMethod({ commands }: Pick<Domain, "commands">): DescMethod {
  const method = commands.service.method["execute"];
  if (method === undefined) throw new TypeError(`${commands.service.typeName} has no RPC Execute`);
  return method;
}

function isCommand(command: Partial<AnyCommand> | undefined): command is AnyCommand {
  return command?.case !== undefined && command.value !== undefined;
}

function checkedCommand(command: Partial<AnyCommand> | undefined): AnyCommand {
  if (!isCommand(command)) {
    throw invalidArgument([{ field: "command", description: "names no command that this server knows", reason: "UNKNOWN_COMMAND" }]);
  }
  if (!command.value.options?.commandId) {
    const field = `command.${command.case}.options.command_id`;
    throw invalidArgument([{ field, description: "is needed to match the answer", reason: "COMMAND_ID_MISSING" }]);
  }
  return command;
}
