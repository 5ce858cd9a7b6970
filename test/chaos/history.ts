/** What the clients of a run saw, as they saw it. Times are of one monotonic clock. */

import type { CommandStage } from "../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import type { Order } from "../../internal/gen/headwater/orders/v1/order_pb.ts";
import type { Sent } from "./commands.ts";

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

/** One call, or one command on a stream. Several share a command id. */
export interface Attempt {
  readonly orderId: string;
  readonly commandId: string;
  readonly fingerprint: Uint8Array;
  /** Absent in a question after the outcome. */
  readonly expectedVersion?: number;
  readonly isInquiry: boolean;
  /** The stage that the caller asked for. */
  readonly waitFor: CommandStage;
  readonly startedAtMs: number;
  endedAtMs: number;
  result: Result;
}

/** Where a read got the version from that it must show at least. */
export type ReadAfter = "write" | "read" | "watch" | "list";

/** One sight of an order, or of its absence. */
export interface Read {
  readonly session: number;
  readonly orderId: string;
  /** The version that the token promises which was passed on. */
  readonly atLeast: number;
  readonly after: ReadAfter;
  readonly startedAtMs: number;
  /** undefined: there is no such order. */
  readonly order: Order | undefined;
}

/** What was there at once when a receipt said that the views show the command. */
export interface Sight {
  readonly orderId: string;
  readonly commandId: string;
  readonly version: number;
  /** Which query service, or the documents themselves. */
  readonly where: string;
  /** When the command was sent. */
  readonly sentAtMs: number;
  readonly endedAtMs: number;
  /** The version that the order had there. */
  readonly seen: number;
}

/** The commands of one order on one Execute stream, in the order in which they were sent, where all were answered. */
export interface Pipeline {
  readonly orderId: string;
  readonly commandIds: readonly string[];
}

/** An event as a subscription delivered it. */
export interface Delivered {
  readonly orderId: string;
  readonly eventId: string;
  readonly sequence: number;
}

/** A subscription that is followed from the beginning, over as many connections as it takes. */
export interface Subscription {
  readonly name: string;
  readonly orderId: string;
  readonly customerId: string;
  readonly delivered: Delivered[];
  /** The position of the last response. */
  position: string;
}

/** The versions of an order that a watch showed. */
export interface Watch {
  readonly orderId: string;
  readonly versions: number[];
}

/** From when to when documents were older than what had been shown of them, because an operator set them back. */
export interface SetBack {
  readonly fromMs: number;
  toMs: number;
}

export interface ClientHistory {
  /** Every command that was prepared, whatever became of it. */
  readonly sent: Sent[];
  readonly attempts: Attempt[];
  readonly reads: Read[];
  readonly sights: Sight[];
  readonly pipelines: Pipeline[];
  readonly subscriptions: Subscription[];
  readonly watches: Watch[];
  readonly setBacks: SetBack[];
  /** Reads, lists, watches and subscriptions that ended in an error, by its reason. */
  readonly failedReads: Map<string, number>;
}

export function emptyHistory(): ClientHistory {
  return {
    sent: [],
    attempts: [],
    reads: [],
    sights: [],
    pipelines: [],
    subscriptions: [],
    watches: [],
    setBacks: [],
    failedReads: new Map(),
  };
}
