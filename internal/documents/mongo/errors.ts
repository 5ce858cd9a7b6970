/**
 * Sorts what the driver throws: MongoDB is away for a while, or the request cannot be served. Conflicts, the third kind, are found where
 * documents are written (`write.ts`).
 */

import type * as driver from "mongodb";
import { MongoBulkWriteError, MongoError, MongoErrorLabel } from "mongodb";
import { DocumentsUnavailableError } from "../../cqrs/documents.ts";
import { isConnectionError, tlsProblemOf } from "../../platform/connection-errors.ts";

/** "away": the same call may succeed later. "fault": it may not, and somebody has to look. "its code": what the server says decides. */
export type Meaning = "away" | "fault" | "its code";

type DriverErrorClass = {
  [Name in keyof typeof driver]: (typeof driver)[Name] extends abstract new (...args: never) => Error ? Name : never;
}[keyof typeof driver];

/** Classes that the driver throws and does not export. */
type HiddenErrorClass = "PoolClosedError" | "PoolClearedError" | "PoolClearedOnNetworkError" | "WaitQueueTimeoutError";

/** Every class of the driver: one that a new version brings is a compile error here. */
export const meanings = {
  MongoNetworkError: "away",
  MongoNetworkTimeoutError: "away",
  MongoSystemError: "away",
  MongoServerSelectionError: "away",
  MongoOperationTimeoutError: "away",
  // Somebody has closed the connection on purpose: this process, or the driver, when it learned of another primary.
  MongoNotConnectedError: "away",
  MongoServerClosedError: "away",
  MongoTopologyClosedError: "away",
  MongoClientClosedError: "away",
  MongoStalePrimaryError: "away",
  PoolClosedError: "away",
  PoolClearedError: "away",
  PoolClearedOnNetworkError: "away",
  WaitQueueTimeoutError: "away",
  // An answer that broke off, or one of a server that has just come or is about to go.
  MongoUnexpectedServerResponseError: "away",
  // No majority confirmed a write in time; the driver does not say more by its class.
  MongoWriteConcernError: "away",

  MongoServerError: "its code",
  MongoBulkWriteError: "its code",
  MongoClientBulkWriteError: "its code",

  MongoError: "fault",
  MongoDriverError: "fault",
  MongoAPIError: "fault",
  MongoRuntimeError: "fault",
  MongoBatchReExecutionError: "fault",
  MongoChangeStreamError: "fault",
  MongoClientBulkWriteCursorError: "fault",
  MongoClientBulkWriteExecutionError: "fault",
  MongoCompatibilityError: "fault",
  MongoCursorExhaustedError: "fault",
  MongoCursorInUseError: "fault",
  MongoDecompressionError: "fault",
  MongoExpiredSessionError: "fault",
  MongoGridFSChunkError: "fault",
  MongoGridFSStreamError: "fault",
  MongoInvalidArgumentError: "fault",
  MongoMissingCredentialsError: "fault",
  MongoMissingDependencyError: "fault",
  MongoParseError: "fault",
  MongoTailableCursorError: "fault",
  MongoTransactionError: "fault",
  // Ways to log in that are not offered, and encryption of fields that nobody switches on.
  MongoAWSError: "fault",
  MongoAzureError: "fault",
  MongoGCPError: "fault",
  MongoKerberosError: "fault",
  MongoOIDCError: "fault",
  MongoCryptError: "fault",
  MongoCryptAzureKMSRequestError: "fault",
  MongoCryptCreateDataKeyError: "fault",
  MongoCryptCreateEncryptedCollectionError: "fault",
  MongoCryptInvalidArgumentError: "fault",
  MongoCryptKMSRequestNetworkTimeoutError: "fault",
} as const satisfies Record<DriverErrorClass | HiddenErrorClass, Meaning>;

/** What a server says of itself, of its set, of its load or of its disk, and not of the request. */
const awayCodes: ReadonlySet<unknown> = new Set([
  // It does not reach another, or is not reached.
  6, // HostUnreachable
  7, // HostNotFound
  89, // NetworkTimeout
  202, // NetworkInterfaceExceededTimeLimit
  317, // ConnectionPoolExpired
  384, // ConnectionError
  9001, // SocketException
  // It starts, stops, steps down or is no primary.
  91, // ShutdownInProgress
  94, // NotYetInitialized
  133, // FailedToSatisfyReadPreference
  134, // ReadConcernMajorityNotAvailableYet
  189, // PrimarySteppedDown
  216, // ElectionInProgress
  10058, // LegacyNotPrimary
  10107, // NotWritablePrimary
  11600, // InterruptedAtShutdown
  11602, // InterruptedDueToReplStateChange
  13435, // NotPrimaryNoSecondaryOk
  13436, // NotPrimaryOrSecondary
  // It ended an operation that took too long or whose cursor or collection went away.
  24, // LockTimeout
  43, // CursorNotFound
  50, // MaxTimeMSExpired
  175, // QueryPlanKilled
  234, // RetryChangeStream
  237, // CursorKilled
  262, // ExceededTimeLimit
  279, // ClientDisconnect
  355, // InterruptedDueToStorageChange
  11601, // Interrupted
  46841, // ClientMarkedKilled
  // Not enough members confirm.
  64, // WriteConcernTimeout
  100, // UnsatisfiableWriteConcern
  // Somebody else works on the same, or too many do.
  46, // LockBusy
  112, // WriteConflict
  117, // ConflictingOperationInProgress
  215, // DatabaseDropPending
  246, // SnapshotUnavailable
  261, // TooManyLogicalSessions
  276, // IndexBuildAborted
  285, // IndexBuildAlreadyInProgress
  365, // TemporarilyUnavailable
  371, // UserWritesBlocked
  402, // ResourceExhausted
  407, // PooledConnectionAcquisitionExceededTimeLimit
  433, // AdmissionQueueOverflow
  449, // RateLimitExceeded
  12586, // BackgroundOperationInProgressForDatabase
  12587, // BackgroundOperationInProgressForNamespace
  14031, // OutOfDiskSpace
  // A router has not heard yet where a collection is.
  63, // StaleShardVersion
  150, // StaleEpoch
  249, // StaleDbVersion
  13388, // StaleConfig
  // The login has expired: the next call logs in again.
  391, // ReauthenticationRequired
]);

/** Somebody else was faster: where it means a conflict, `write.ts` says so. Beside another failure it decides nothing. */
const DUPLICATE_KEY = 11_000;

/** By which a server or the driver says that the same call may succeed, whatever its code is. */
const awayLabels = [
  MongoErrorLabel.RetryableWriteError,
  MongoErrorLabel.RetryableError,
  MongoErrorLabel.SystemOverloadedError,
  MongoErrorLabel.ResumableChangeStreamError,
  MongoErrorLabel.PoolRequestedRetry,
] as const;

/** Runs calls of the driver. @throws {DocumentsUnavailableError} in place of the driver's many errors that say so */
export async function reaching<Result>(run: () => Promise<Result>): Promise<Result> {
  try {
    return await run();
  } catch (error) {
    throw inTermsOfThePort(error);
  }
}

function inTermsOfThePort(error: unknown): unknown {
  if (!isAway(error)) return error;
  const untrusted = tlsProblemOf(error);
  if (untrusted === undefined) return new DocumentsUnavailableError(`MongoDB does not answer: ${error.message}`, { cause: error });
  return new Error(`no TLS with MongoDB: ${untrusted}; check the TLS options in its address, and the certificates`, { cause: error });
}

/** Whether MongoDB is away, so that the same call may succeed when it is back. */
export function isAway(error: unknown): error is Error {
  // The driver passes on what a socket says while it writes to it.
  if (!(error instanceof MongoError)) return isConnectionError(error);
  if (awayLabels.some((label) => error.hasErrorLabel(label))) return true;
  switch (meaningOf(error)) {
    case "away":
      return true;
    case "fault":
      return false;
    case "its code":
      return error instanceof MongoBulkWriteError ? isAwayInBulk(error) : awayCodes.has(error.code);
  }
}

/** A bulk write hides what it met: an error of another class, that nobody confirmed it, or one error per document. */
function isAwayInBulk(error: MongoBulkWriteError): boolean {
  if (error.result.getWriteConcernError() !== undefined || isAway(error.errorResponse)) return true;
  const codes = [error.writeErrors].flat().map(({ code }) => code);
  if (codes.length === 0) return awayCodes.has(error.code);
  return codes.some((code) => awayCodes.has(code)) && codes.every((code) => code === DUPLICATE_KEY || awayCodes.has(code));
}

/** Of the nearest class that is sorted. */
function meaningOf(error: MongoError): Meaning {
  for (let proto: unknown = Object.getPrototypeOf(error); proto instanceof Error; proto = Object.getPrototypeOf(proto)) {
    const { name } = proto.constructor;
    if (isSorted(name)) return meanings[name];
  }
  return "fault";
}

function isSorted(name: string): name is keyof typeof meanings {
  return Object.hasOwn(meanings, name);
}
