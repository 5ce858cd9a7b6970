import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { status as Code } from "@grpc/grpc-js";
import type { Submission } from "../../internal/cqrs/command/command-gateway.ts";
import { RETRY_AFTER_MS, TOO_MANY_OUTCOMES } from "../../internal/cqrs/command/decide-command.ts";
import { PreconditionFailureSchema } from "../../internal/gen/google/rpc/error_details_pb.ts";
import type { CommandOutcome, Rejection } from "../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { RejectionReason } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { resourceExhausted, StatusError } from "../../internal/grpc/errors.ts";

/** The gRPC code of every reason. A new reason does not compile before it stands here. */
const codes = {
  ORDER_NOT_FOUND: Code.NOT_FOUND,
  ORDER_ALREADY_EXISTS: Code.ALREADY_EXISTS,
  VERSION_MISMATCH: Code.ABORTED,
  COMMAND_ID_REUSED: Code.ALREADY_EXISTS,
  ORDER_NOT_DRAFT: Code.FAILED_PRECONDITION,
  ORDER_EMPTY: Code.FAILED_PRECONDITION,
  ADDRESS_MISSING: Code.FAILED_PRECONDITION,
  LINE_NOT_FOUND: Code.NOT_FOUND,
  LINE_ALREADY_EXISTS: Code.ALREADY_EXISTS,
  TOO_MANY_LINES: Code.FAILED_PRECONDITION,
  CURRENCY_MISMATCH: Code.INVALID_ARGUMENT,
  AMOUNT_TOO_LARGE: Code.OUT_OF_RANGE,
  ORDER_NOT_PLACED: Code.FAILED_PRECONDITION,
  ORDER_CANCELLED: Code.FAILED_PRECONDITION,
  ORDER_ALREADY_PAID: Code.FAILED_PRECONDITION,
  PAYMENT_EXCEEDS_BALANCE: Code.FAILED_PRECONDITION,
  PAYMENT_ALREADY_RECORDED: Code.ALREADY_EXISTS,
  ORDER_NOT_PAID: Code.FAILED_PRECONDITION,
  NOTHING_TO_SHIP: Code.FAILED_PRECONDITION,
  QUANTITY_EXCEEDS_REMAINING: Code.FAILED_PRECONDITION,
  SHIPMENT_ALREADY_EXISTS: Code.ALREADY_EXISTS,
  SHIPMENT_NOT_FOUND: Code.NOT_FOUND,
  NOTHING_TO_DELIVER: Code.FAILED_PRECONDITION,
  ORDER_ALREADY_SHIPPED: Code.FAILED_PRECONDITION,
  ORDER_NOT_DELIVERED: Code.FAILED_PRECONDITION,
  RETURN_ALREADY_EXISTS: Code.ALREADY_EXISTS,
  NOTHING_TO_REFUND: Code.FAILED_PRECONDITION,
  REFUND_EXCEEDS_REFUNDABLE: Code.FAILED_PRECONDITION,
  REFUND_ALREADY_RECORDED: Code.ALREADY_EXISTS,
  COMMAND_NOT_DECODABLE: Code.INTERNAL,
  TOO_MANY_ENTRIES: Code.FAILED_PRECONDITION,
  INVALID_COMMAND: Code.INVALID_ARGUMENT,
  COMMAND_TOO_LARGE: Code.FAILED_PRECONDITION,
} as const satisfies Record<Exclude<keyof typeof RejectionReason, "UNSPECIFIED">, Code>;

/** Where a refused command was decided. */
export interface RejectedCommand {
  readonly orderId: string;
  readonly outcome: CommandOutcome;
  readonly rejection: Rejection;
  /** A read with it sees what the decision saw. */
  readonly consistencyToken: string;
}

/** The domain's "no" as a gRPC error; or that the command was not decided at all, and may come again. */
export function rejectionError({ orderId, outcome, rejection, consistencyToken }: RejectedCommand): StatusError {
  if (rejection.reason === TOO_MANY_OUTCOMES) {
    const facts = { reason: TOO_MANY_OUTCOMES, metadata: { order_id: orderId, command_id: outcome.commandId } };
    return resourceExhausted(`the order ${orderId}: ${rejection.message}`, facts, Number(rejection.metadata[RETRY_AFTER_MS]));
  }
  const code = isReason(rejection.reason) ? codes[rejection.reason] : Code.FAILED_PRECONDITION;
  const metadata = {
    ...rejection.metadata,
    order_id: orderId,
    command_id: outcome.commandId,
    version: String(outcome.version),
    consistency_token: consistencyToken,
  };
  const precondition = create(PreconditionFailureSchema, {
    violations: [{ type: rejection.reason, subject: orderId, description: rejection.message }],
  });
  const details = code === Code.FAILED_PRECONDITION ? [anyPack(PreconditionFailureSchema, precondition)] : [];
  return new StatusError(code, rejection.message, { reason: rejection.reason, metadata }, details);
}

/** A command that the log did not even take. It was not decided, and is nowhere. */
export function commandTooLarge({ aggregateId, commandId }: Pick<Submission, "aggregateId" | "commandId">): StatusError {
  return new StatusError(codes.COMMAND_TOO_LARGE, "the command is larger than the log takes; send less at once, with a new command_id", {
    reason: "COMMAND_TOO_LARGE",
    metadata: { order_id: aggregateId, command_id: commandId },
  });
}

/** The reason as clients know it; UNSPECIFIED for one that only a newer version knows. */
export function reasonOf(name: string): RejectionReason {
  return isReason(name) ? RejectionReason[name] : RejectionReason.UNSPECIFIED;
}

function isReason(name: string): name is keyof typeof codes {
  return Object.hasOwn(codes, name);
}
