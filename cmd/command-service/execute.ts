/** The Execute stream: many commands under way at once, each answered as its decision falls. */

import { create } from "@bufbuild/protobuf";
import {
  type ExecuteRequest,
  ExecuteRequestSchema,
  type ExecuteResponse,
  ExecuteResponseSchema,
  type Receipt,
} from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import type { Call } from "../../internal/grpc/call.ts";
import { invalidArgument, StatusError, statusOf } from "../../internal/grpc/errors.ts";
import { validate } from "../../internal/grpc/validation.ts";
import type { AnyOrderCommand } from "../../internal/orders/command/submission.ts";
import { errorDomain } from "../../internal/orders/error-domain.ts";

/** Decides one command within a call. */
export type Execute = (command: AnyOrderCommand, call: Call) => Promise<Receipt>;

/** How many commands of one stream are under way at once; the next is read when one is answered. */
const MAX_UNDER_WAY = 1_024;

/**
 * Commands are handed on in the order of the stream, so those of one order are decided in that order. A command that fails is answered with
 * its status and does not end the stream; what nobody expects does.
 */
export async function* executeAll(execute: Execute, requests: AsyncIterable<ExecuteRequest>, call: Call): AsyncGenerator<ExecuteResponse> {
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
      void answer(execute, request, call)
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

async function answer(execute: Execute, request: ExecuteRequest, call: Call): Promise<ExecuteResponse> {
  const command = request.command?.command;
  const commandId = command?.value?.options?.commandId ?? "";
  const orderId = command?.value?.orderId ?? "";
  try {
    validate(ExecuteRequestSchema, request);
    const receipt = await execute(checked(command), call);
    return create(ExecuteResponseSchema, { commandId, orderId: receipt.orderId, result: { case: "receipt", value: receipt } });
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    return create(ExecuteResponseSchema, { commandId, orderId, result: { case: "status", value: statusOf(error, errorDomain) } });
  }
}

function checked(command: { case: string | undefined } | undefined): AnyOrderCommand {
  const any = command as AnyOrderCommand | undefined;
  if (any?.case === undefined) {
    throw invalidArgument([{ field: "command", description: "names no command that this server knows", reason: "UNKNOWN_COMMAND" }]);
  }
  if (!any.value.options?.commandId) {
    const field = `command.${any.case}.options.command_id`;
    throw invalidArgument([{ field, description: "is needed to match the answer", reason: "COMMAND_ID_MISSING" }]);
  }
  return any;
}
