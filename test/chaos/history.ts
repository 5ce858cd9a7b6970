/** What the clients of a run saw, as they saw it. Times are of one monotonic clock. */

import type { CommandStage } from "../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import type { Order } from "../../internal/gen/headwater/orders/v1/order_pb.ts";

/** What a caller was told about one attempt of a command. */
export type Result =
  /** Accepted: decided, or, without a version, durable and to be decided. */
  | { readonly kind: "ok"; readonly stage: CommandStage; readonly version?: number; readonly token: string; readonly acceptedAtMs?: number }
  | {
      readonly kind: "rejected";
      readonly reason: string;
      readonly message: string;
      readonly version: number;
      readonly token: string;
    }
  /** Certainly not taken. */
  | { readonly kind: "failed"; readonly reason: string }
  | { readonly kind: "unknown"; readonly reason: string };

/** One call. Several share a command id. */
export interface Attempt {
  readonly orderId: string;
  readonly commandId: string;
  readonly fingerprint: Uint8Array;
  /** Absent in a question after the outcome. */
  readonly expectedVersion?: number;
  readonly isInquiry: boolean;
  readonly startedAtMs: number;
  endedAtMs: number;
  result: Result;
}

/** One read of an order. */
export interface Read {
  readonly session: number;
  readonly orderId: string;
  /** The version that the token promises which was passed on. */
  readonly atLeast: number;
  /** Where the token is from. */
  readonly after: "write" | "read";
  readonly startedAtMs: number;
  /** undefined: there is no such order. */
  readonly order: Order | undefined;
}

export interface ClientHistory {
  readonly attempts: Attempt[];
  readonly reads: Read[];
  /** Reads that ended in an error, by its reason. */
  readonly failedReads: Map<string, number>;
}

export function emptyHistory(): ClientHistory {
  return { attempts: [], reads: [], failedReads: new Map() };
}
