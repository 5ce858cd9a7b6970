import type { Any } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.ts";
import type { Status } from "./gen/google/rpc/status_pb.ts";
import type { ErrorReason } from "./gen/headwater/cqrs/v1/error_reason_pb.ts";
import type { RejectionReason } from "./gen/headwater/orders/v1/order_command_service_pb.ts";

/** The reasons for a rejection that this version knows: the names of the contract's `RejectionReason`, and those of `ErrorReason` that every domain gives. */
export type KnownRejectionReason =
  | Exclude<keyof typeof RejectionReason, "UNSPECIFIED">
  | Extract<keyof typeof ErrorReason, "VERSION_MISMATCH" | "COMMAND_ID_REUSED" | "COMMAND_NOT_DECODABLE" | "COMMAND_TOO_LARGE">;

/** The domain said no. The decision is final: the same command id gets the same answer again. */
export class OrderRejectedError extends Error {
  override readonly name = "OrderRejectedError";
  /** Why, for programs. A newer server may give a reason that this version does not know. */
  readonly reason: KnownRejectionReason | (string & {});
  /** The gRPC code, such as `Code.FailedPrecondition`. */
  readonly code: Code;
  readonly orderId: string;
  readonly commandId: string;
  /** The version of the order that refused the command, where the server tells it. */
  readonly currentVersion: number | undefined;
  /** Covers what the decision saw. The session that sent the command has taken it. */
  readonly consistencyToken: string;
  /** Facts that belong to the reason. */
  readonly metadata: Readonly<Record<string, string>>;

  /** Made by the SDK; `cause` is the error as it came over the wire. */
  constructor(cause: ConnectError, rejection: { readonly reason: string; readonly metadata: Readonly<Record<string, string>> }) {
    super(cause.rawMessage, { cause });
    const {
      aggregate_id: orderId = "",
      command_id: commandId = "",
      version,
      current_version: currentVersion = version,
    } = rejection.metadata;
    this.reason = rejection.reason;
    this.code = cause.code;
    this.orderId = orderId;
    this.commandId = commandId;
    this.currentVersion = currentVersion === undefined ? undefined : Number(currentVersion);
    this.consistencyToken = rejection.metadata["consistency_token"] ?? "";
    this.metadata = rejection.metadata;
  }
}

/** A field of a request that breaks a rule of the contract. */
export interface FieldViolation {
  /** The path of the field, such as `lines[0].quantity`. */
  readonly field: string;
  /** What is wrong with it, for people. */
  readonly description: string;
  /** Which rule it breaks, for programs, such as `TOKEN_OF_ANOTHER_STREAM`; empty if the server does not say. */
  readonly reason: string;
}

/** The request breaks rules of the contract; nothing was done. */
export class InvalidRequestError extends Error {
  override readonly name = "InvalidRequestError";
  readonly violations: readonly FieldViolation[];

  /** Made by the SDK; `cause` is the error as it came over the wire. */
  constructor(cause: ConnectError, violations: readonly FieldViolation[]) {
    super(cause.rawMessage, { cause });
    this.violations = violations;
  }
}

/** What the caller of a command or query gets to see of an error. */
export function typedError(error: ConnectError): OrderRejectedError | InvalidRequestError | ConnectError {
  const rejection = rejectionOf(error);
  if (rejection !== undefined) return new OrderRejectedError(error, rejection);
  const [badRequest] = error.findDetails(BadRequestSchema);
  if (badRequest === undefined) return error;
  const violations = badRequest.fieldViolations.map(({ field, description, reason }) => ({ field, description, reason }));
  return new InvalidRequestError(error, violations);
}

/** Whether the same call, with the same command id, may succeed later. */
export function isRetryable(error: ConnectError): boolean {
  if (rejectionOf(error) !== undefined) return false;
  switch (error.code) {
    case Code.Unavailable:
    case Code.DeadlineExceeded:
    case Code.Aborted:
      return true;
    case Code.ResourceExhausted:
      // Without an invitation to come back it is a limit that stays, such as the size of a message.
      return retryDelayMs(error) !== undefined;
    case Code.Canceled:
    case Code.Unknown:
    case Code.Internal:
      // A server's answer has metadata. Without, the connection broke: the transports report that in all three ways.
      return error.metadata.keys().next().done === true;
    case Code.InvalidArgument:
    case Code.NotFound:
    case Code.AlreadyExists:
    case Code.PermissionDenied:
    case Code.FailedPrecondition:
    case Code.OutOfRange:
    case Code.Unimplemented:
    case Code.DataLoss:
    case Code.Unauthenticated:
      return false;
  }
}

/** How long the server asks to wait before the next attempt. */
export function retryDelayMs(error: ConnectError): number | undefined {
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return delay === undefined ? undefined : Number(delay.seconds) * 1000 + delay.nanos / 1_000_000;
}

/** The error that a status in a stream stands for. */
export function errorFromStatus(status: Status): ConnectError {
  const error = new ConnectError(status.message, codeFromNumber(status.code));
  error.metadata.set("grpc-status", String(status.code));
  error.details = status.details.map(({ typeUrl, value }: Any) => ({ type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1), value }));
  return error;
}

/** Only a decision names its command among the facts; and a state of the service, which passes, says so by its code or a RetryInfo. */
function rejectionOf(error: ConnectError) {
  if (isPassing(error.code) || retryDelayMs(error) !== undefined) return undefined;
  return error.findDetails(ErrorInfoSchema).find(({ domain, metadata }) => domain === "orders.headwater" && "command_id" in metadata);
}

function isPassing(code: Code): boolean {
  return code === Code.Unavailable || code === Code.DeadlineExceeded || code === Code.Canceled;
}

function codeFromNumber(code: number): Code {
  return code in Code ? code : Code.Unknown;
}
