import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { status as Code } from "@grpc/grpc-js";
import type { Submission } from "../cqrs/command/command-gateway.ts";
import { RETRY_AFTER_MS, runtimeReasons, TOO_MANY_OUTCOMES } from "../cqrs/command/decide-command.ts";
import type { Domain, RefusalCode } from "../cqrs/domain.ts";
import { PreconditionFailureSchema } from "../gen/google/rpc/error_details_pb.ts";
import type { Rejection } from "../gen/headwater/cqrs/v1/command_pb.ts";
import type { CommandOutcome } from "../gen/headwater/cqrs/v1/record_pb.ts";
import { resourceExhausted, StatusError } from "../grpc/errors.ts";

/** The codes of the reasons that the runtime itself gives, whatever the domain. */
const runtimeCodes: Readonly<Record<string, RefusalCode>> = {
  [runtimeReasons.versionMismatch]: "ABORTED",
  [runtimeReasons.commandIdReused]: "ALREADY_EXISTS",
  [runtimeReasons.notDecodable]: "INTERNAL",
  [runtimeReasons.tooLarge]: "FAILED_PRECONDITION",
};

/** Where a refused command was decided. */
export interface RejectedCommand {
  readonly aggregateId: string;
  readonly outcome: CommandOutcome;
  readonly rejection: Rejection;
  /** A read with it sees what the decision saw. */
  readonly consistencyToken: string;
}

/** The domain's "no" as a gRPC error; or that the command was not decided at all, and may come again. */
export function rejectionError(
  { name, commands }: Pick<Domain, "name" | "commands">,
  { aggregateId, outcome, rejection, consistencyToken }: RejectedCommand,
): StatusError {
  const { reason, message } = rejection;
  const known = { aggregate_id: aggregateId, command_id: outcome.commandId };
  if (reason === TOO_MANY_OUTCOMES) {
    return resourceExhausted(`${aggregateId}: ${message}`, { reason, metadata: known }, Number(rejection.metadata[RETRY_AFTER_MS]));
  }
  const code = Code[codeOf(commands.reasons, reason)];
  const metadata = { ...rejection.metadata, ...known, version: String(outcome.version), consistency_token: consistencyToken };
  const precondition = create(PreconditionFailureSchema, {
    violations: [{ type: reason, subject: `${name}/${aggregateId}`, description: message }],
  });
  const details = code === Code.FAILED_PRECONDITION ? [anyPack(PreconditionFailureSchema, precondition)] : [];
  return new StatusError(code, message, { reason, metadata }, details);
}

/** A command that the log did not even take. It was not decided, and is nowhere. */
export function commandTooLarge({ aggregateId, commandId }: Pick<Submission, "aggregateId" | "commandId">): StatusError {
  return new StatusError(Code.FAILED_PRECONDITION, "the command is larger than the log takes; send less at once, with a new command_id", {
    reason: runtimeReasons.tooLarge,
    metadata: { aggregate_id: aggregateId, command_id: commandId },
  });
}

/** A reason that only a newer version knows is a "no" all the same. */
function codeOf(reasons: Readonly<Record<string, RefusalCode>>, reason: string): RefusalCode {
  for (const codes of [reasons, runtimeCodes]) if (Object.hasOwn(codes, reason)) return codes[reason] as RefusalCode;
  return "FAILED_PRECONDITION";
}
