/**
 * Sorts what kafkajs throws, in the port's terms. By name, not by class: kafkajs is loaded twice, once with the adapter's changes.
 */

import { LogRefusedError, LogUnavailableError } from "../../cqrs/log.ts";
import { causesOf, isConnectionError, tlsProblemOf } from "../../platform/connection-errors.ts";
import { type Place, refused } from "./refusals.ts";

/**
 * "away": the cluster does not answer, or not yet, which passes. "conflict": another member or producer has taken this one's place, or the
 * group is changing. "refused": the broker does not let this client do it. "fault": it cannot be done, and somebody has to look.
 */
export type Meaning = "away" | "conflict" | "refused" | "fault";

/** By the type of a broker's error code: every one that kafkajs knows. */
export const meaningsOfTypes: Readonly<Record<string, Meaning>> = {
  // A broker, its leader or its coordinator is not there yet, or is busy.
  UNKNOWN: "away",
  CORRUPT_MESSAGE: "away",
  UNKNOWN_TOPIC_OR_PARTITION: "away",
  LEADER_NOT_AVAILABLE: "away",
  NOT_LEADER_FOR_PARTITION: "away",
  REQUEST_TIMED_OUT: "away",
  BROKER_NOT_AVAILABLE: "away",
  REPLICA_NOT_AVAILABLE: "away",
  STALE_CONTROLLER_EPOCH: "away",
  STALE_BROKER_EPOCH: "away",
  NETWORK_EXCEPTION: "away",
  GROUP_LOAD_IN_PROGRESS: "away",
  GROUP_COORDINATOR_NOT_AVAILABLE: "away",
  NOT_COORDINATOR_FOR_GROUP: "away",
  NOT_ENOUGH_REPLICAS: "away",
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: "away",
  NOT_CONTROLLER: "away",
  CONCURRENT_TRANSACTIONS: "away",
  KAFKA_STORAGE_ERROR: "away",
  REASSIGNMENT_IN_PROGRESS: "away",
  FETCH_SESSION_ID_NOT_FOUND: "away",
  INVALID_FETCH_SESSION_EPOCH: "away",
  LISTENER_NOT_FOUND: "away",
  FENCED_LEADER_EPOCH: "away",
  UNKNOWN_LEADER_EPOCH: "away",
  OFFSET_NOT_AVAILABLE: "away",
  PREFERRED_LEADER_NOT_AVAILABLE: "away",
  ELIGIBLE_LEADERS_NOT_AVAILABLE: "away",
  UNSTABLE_OFFSET_COMMIT: "away",
  THROTTLING_QUOTA_EXCEEDED: "away",
  UNKNOWN_TOPIC_ID: "away",
  INCONSISTENT_TOPIC_ID: "away",
  // Until all brokers have started, there are fewer than a topic wants.
  INVALID_REPLICATION_FACTOR: "away",
  // Until a member leaves.
  GROUP_MAX_SIZE_REACHED: "away",

  ILLEGAL_GENERATION: "conflict",
  UNKNOWN_MEMBER_ID: "conflict",
  REBALANCE_IN_PROGRESS: "conflict",
  MEMBER_ID_REQUIRED: "conflict",
  FENCED_INSTANCE_ID: "conflict",
  OUT_OF_ORDER_SEQUENCE_NUMBER: "conflict",
  DUPLICATE_SEQUENCE_NUMBER: "conflict",
  INVALID_PRODUCER_EPOCH: "conflict",
  INVALID_TXN_STATE: "conflict",
  INVALID_PRODUCER_ID_MAPPING: "conflict",
  TRANSACTION_COORDINATOR_FENCED: "conflict",
  UNKNOWN_PRODUCER_ID: "conflict",
  PRODUCER_FENCED: "conflict",
  FENCED_MEMBER_EPOCH: "conflict",
  STALE_MEMBER_EPOCH: "conflict",
  TRANSACTION_ABORTABLE: "conflict",

  TOPIC_AUTHORIZATION_FAILED: "refused",
  GROUP_AUTHORIZATION_FAILED: "refused",
  CLUSTER_AUTHORIZATION_FAILED: "refused",
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "refused",
  DELEGATION_TOKEN_AUTHORIZATION_FAILED: "refused",
  SASL_AUTHENTICATION_FAILED: "refused",
  UNSUPPORTED_SASL_MECHANISM: "refused",
  ILLEGAL_SASL_STATE: "refused",
  SECURITY_DISABLED: "refused",
  DELEGATION_TOKEN_AUTH_DISABLED: "refused",
  DELEGATION_TOKEN_NOT_FOUND: "refused",
  DELEGATION_TOKEN_OWNER_MISMATCH: "refused",
  DELEGATION_TOKEN_REQUEST_NOT_ALLOWED: "refused",
  DELEGATION_TOKEN_EXPIRED: "refused",

  OFFSET_OUT_OF_RANGE: "fault",
  INVALID_FETCH_SIZE: "fault",
  MESSAGE_TOO_LARGE: "fault",
  OFFSET_METADATA_TOO_LARGE: "fault",
  INVALID_TOPIC_EXCEPTION: "fault",
  RECORD_LIST_TOO_LARGE: "fault",
  INVALID_REQUIRED_ACKS: "fault",
  INCONSISTENT_GROUP_PROTOCOL: "fault",
  INVALID_GROUP_ID: "fault",
  INVALID_SESSION_TIMEOUT: "fault",
  INVALID_COMMIT_OFFSET_SIZE: "fault",
  INVALID_TIMESTAMP: "fault",
  UNSUPPORTED_VERSION: "fault",
  TOPIC_ALREADY_EXISTS: "fault",
  INVALID_PARTITIONS: "fault",
  INVALID_REPLICA_ASSIGNMENT: "fault",
  INVALID_CONFIG: "fault",
  INVALID_REQUEST: "fault",
  UNSUPPORTED_FOR_MESSAGE_FORMAT: "fault",
  POLICY_VIOLATION: "fault",
  INVALID_TRANSACTION_TIMEOUT: "fault",
  OPERATION_NOT_ATTEMPTED: "fault",
  LOG_DIR_NOT_FOUND: "fault",
  INVALID_PRINCIPAL_TYPE: "fault",
  NON_EMPTY_GROUP: "fault",
  GROUP_ID_NOT_FOUND: "fault",
  TOPIC_DELETION_DISABLED: "fault",
  UNSUPPORTED_COMPRESSION_TYPE: "fault",
  ELECTION_NOT_NEEDED: "fault",
  NO_REASSIGNMENT_IN_PROGRESS: "fault",
  GROUP_SUBSCRIBED_TO_TOPIC: "fault",
  INVALID_RECORD: "fault",
  // A code that is newer than kafkajs.
  KAFKAJS_UNKNOWN_ERROR_CODE: "fault",
};

/** By the name of kafkajs's class: every one. "its cause": what it was thrown for decides. */
export const meaningsOfClasses: Readonly<Record<string, Meaning | "its cause">> = {
  KafkaJSBrokerNotFound: "away",
  KafkaJSConnectionError: "away",
  KafkaJSConnectionClosedError: "away",
  KafkaJSRequestTimeoutError: "away",
  KafkaJSNoBrokerAvailableError: "away",
  KafkaJSGroupCoordinatorNotFound: "away",
  KafkaJSMetadataNotLoaded: "away",
  KafkaJSTopicMetadataNotLoaded: "away",
  KafkaJSStaleTopicMetadataAssignment: "away",
  KafkaJSTimeout: "away",
  KafkaJSLockTimeout: "away",
  KafkaJSPartialMessageError: "away",

  KafkaJSFetcherRebalanceError: "conflict",
  KafkaJSSASLAuthenticationError: "refused",

  KafkaJSError: "its cause",
  KafkaJSNonRetriableError: "its cause",
  KafkaJSNumberOfRetriesExceeded: "its cause",
  KafkaJSAggregateError: "its cause",
  // These have the type of a broker's code.
  KafkaJSProtocolError: "its cause",
  KafkaJSOffsetOutOfRange: "its cause",
  KafkaJSMemberIdRequired: "its cause",
  KafkaJSCreateTopicError: "its cause",
  KafkaJSAlterPartitionReassignmentsError: "its cause",

  KafkaJSNotImplemented: "fault",
  KafkaJSDeleteGroupsError: "fault",
  KafkaJSDeleteTopicRecordsError: "fault",
  KafkaJSServerDoesNotSupportApiKey: "fault",
  KafkaJSUnsupportedMagicByteInMessageSet: "fault",
  KafkaJSInvariantViolation: "fault",
  KafkaJSInvalidVarIntError: "fault",
  KafkaJSInvalidLongError: "fault",
};

/** What kafkajs says without an error of its own. */
const unnamed: ReadonlySet<string> = new Set(["Broker not connected"]);

export function unavailable(error: unknown): LogUnavailableError {
  return new LogUnavailableError(`Kafka does not answer: ${messageOf(error)}`, { cause: error });
}

/** The name of a broker's error code. */
export function typeOf(error: unknown): string | undefined {
  return error instanceof Error && "type" in error && typeof error.type === "string" ? error.type : undefined;
}

/**
 * Runs calls of kafkajs.
 *
 * @throws {LogUnavailableError} the cluster does not answer, which passes
 * @throws {LogRefusedError} it refuses this client or what it asks for, which somebody has to do something about
 */
export async function reaching<Result>(run: () => Promise<Result>): Promise<Result> {
  try {
    return await run();
  } catch (error) {
    throw inTermsOfThePort(error);
  }
}

/** An error of kafkajs as the port knows it. Who knows what a conflict means where it arose asks `meaningOf` first. */
export function inTermsOfThePort(error: unknown, place: Place = {}): unknown {
  const meaning = meaningOf(error);
  if (meaning === undefined || !(error instanceof Error)) return error;
  const untrusted = tlsProblemOf(error);
  if (untrusted !== undefined && meaning !== "refused") {
    return new LogRefusedError(`no TLS with Kafka: ${untrusted}; check the TLS options and certificates`, { cause: error });
  }
  if (meaning !== "refused" && meaning !== "fault") return unavailable(error);
  // Retries hide it behind the last of their failures.
  const own = [...causesOf(error)].find((cause) => ownMeaning(cause) === meaning) ?? error;
  const topic = "topic" in own && typeof own.topic === "string" ? { topic: own.topic } : {};
  return refused({
    isOfClient: meaning === "refused",
    type: typeOf(own),
    message: own.message,
    place: { ...place, ...topic },
    cause: error,
  });
}

/** What an error says; undefined if it is none of kafkajs's and of no connection. */
export function meaningOf(error: unknown): Meaning | undefined {
  if (!(error instanceof Error) || ownMeaning(error) === undefined) return undefined;
  const chain = [...causesOf(error)].map(ownMeaning);
  // Retries hide it behind the last of their failures.
  if (chain.includes("refused")) return "refused";
  const [found] = chain.filter((meaning) => meaning !== undefined).filter((meaning) => meaning !== "its cause");
  if (found !== undefined) return found;
  // What kafkajs wraps may be a fault in the code.
  return chain.includes(undefined) || !isRetriable(error) ? "fault" : "away";
}

/** A login that was cut off: kafkajs gives it the class of a refused one, and keeps the message alone. */
const cutOffLogin = /authentication failed: (Closed connection|Connection timeout|Connection error: .*|Request .* timed out)$/;

function ownMeaning(error: Error): Meaning | "its cause" | undefined {
  if (error.name === "KafkaJSSASLAuthenticationError" && cutOffLogin.test(error.message)) return "away";
  const type = typeOf(error);
  if (type !== undefined && Object.hasOwn(meaningsOfTypes, type)) return meaningsOfTypes[type];
  if (Object.hasOwn(meaningsOfClasses, error.name)) return meaningsOfClasses[error.name];
  return unnamed.has(error.message) || isConnectionError(error) ? "away" : undefined;
}

/** What kafkajs itself thinks of it, where it knows no more: one that gave up trying says no, and means the attempts. */
function isRetriable(error: Error): boolean {
  return error.name === "KafkaJSNumberOfRetriesExceeded" || ("retriable" in error && error.retriable === true);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
