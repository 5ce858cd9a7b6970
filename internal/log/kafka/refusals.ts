/** What a broker says that trying again does not change, as a sentence with the cause and the fix. */

import { LogRefusedError, RecordsTooLargeError } from "../../cqrs/log.ts";

/** What was asked for, as far as it is known. */
export interface Place {
  readonly topic?: string;
  readonly group?: string;
  readonly transactionalId?: string;
}

export interface Refusal {
  /** Whether it is about who asks, and not about what. */
  readonly isOfClient: boolean;
  /** The name of the broker's error code. */
  readonly type: string | undefined;
  readonly message: string;
  readonly place: Place;
  readonly cause: unknown;
}

/** Fewer records, in smaller batches, may be taken. */
const tooLarge: ReadonlySet<string> = new Set(["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"]);

const CHECK_CLIENT = "check its user, password and ACLs";

/** What to do about an error code. */
const fixes: Readonly<Record<string, (place: Place) => string>> = {
  TOPIC_AUTHORIZATION_FAILED: ({ topic }) => needs("Describe, and Read or Write,", "the topic", topic),
  GROUP_AUTHORIZATION_FAILED: ({ group }) => needs("Read", "the group", group),
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: ({ transactionalId }) => needs("Describe and Write", "the transactional id", transactionalId),
  CLUSTER_AUTHORIZATION_FAILED: () => needs("Describe and IdempotentWrite", "the cluster"),
  MESSAGE_TOO_LARGE: () => "raise max.message.bytes of the topic",
  RECORD_LIST_TOO_LARGE: () => "raise segment.bytes of the topic",
  INVALID_RECORD: () => "check the topic's settings and the brokers' interceptors",
  POLICY_VIOLATION: () => "change the brokers' policy or the topic's settings",
  INVALID_TRANSACTION_TIMEOUT: () => "raise transaction.max.timeout.ms of the brokers",
  UNSUPPORTED_VERSION: () => "upgrade the brokers",
  UNSUPPORTED_FOR_MESSAGE_FORMAT: () => "upgrade the brokers",
};

export function refused({ isOfClient, type, message, place, cause }: Refusal): LogRefusedError {
  const asked = place.topic === undefined ? "what it is asked for" : `what it is asked for of the topic ${place.topic}`;
  const what = isOfClient ? "this client" : asked;
  const code = type === undefined || message.includes(type) ? "" : ` (${type})`;
  const fix = type !== undefined && Object.hasOwn(fixes, type) ? fixes[type] : undefined;
  const text = `Kafka refuses ${what}: ${message.replace(/\.$/, "")}${code}; ${fix?.(place) ?? (isOfClient ? CHECK_CLIENT : "the brokers' logs say more")}`;
  const ErrorClass = type !== undefined && tooLarge.has(type) ? RecordsTooLargeError : LogRefusedError;
  return new ErrorClass(text, { cause });
}

function needs(operations: string, kind: string, name = ""): string {
  return `${CHECK_CLIENT}: it needs ${operations} on ${kind} ${name}`.trimEnd();
}
