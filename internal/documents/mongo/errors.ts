/** Tells a store that is away for a while from a request that it refuses. */

import {
  MongoBulkWriteError,
  MongoClientClosedError,
  MongoError,
  MongoNetworkError,
  MongoNotConnectedError,
  MongoServerClosedError,
  MongoServerError,
  MongoSystemError,
  MongoTopologyClosedError,
  MongoWriteConcernError,
} from "mongodb";
import { DocumentsUnavailableError } from "../../cqrs/documents.ts";

const unavailable = [
  MongoNetworkError,
  MongoSystemError,
  MongoWriteConcernError,
  MongoNotConnectedError,
  MongoServerClosedError,
  MongoTopologyClosedError,
  MongoClientClosedError,
] as const;

/** A server that waits too long for its data or its majority, steps down, starts or shuts down. */
const unavailableCodes: ReadonlySet<unknown> = new Set([
  50, // MaxTimeMSExpired
  64, // WriteConcernTimeout
  91, // ShutdownInProgress
  134, // ReadConcernMajorityNotAvailableYet
  175, // QueryPlanKilled, when its collection is dropped or the node steps down
  189, // PrimarySteppedDown
  10107, // NotWritablePrimary
  11600, // InterruptedAtShutdown
  11602, // InterruptedDueToReplStateChange
  13435, // NotPrimaryNoSecondaryOk
  13436, // NotPrimaryOrSecondary
]);

/** Runs calls of the driver. @throws {DocumentsUnavailableError} in place of the driver's many errors that say so */
export async function reaching<Result>(run: () => Promise<Result>): Promise<Result> {
  try {
    return await run();
  } catch (error) {
    if (isUnavailable(error)) throw new DocumentsUnavailableError(`MongoDB does not answer: ${error.message}`, { cause: error });
    throw error;
  }
}

function isUnavailable(error: unknown): error is MongoError {
  if (!(error instanceof MongoError)) return false;
  // A bulk write hides what it met: an error of another class, or that nobody acknowledged it.
  if (error instanceof MongoBulkWriteError && (error.result.getWriteConcernError() || isUnavailable(error.errorResponse))) return true;
  if (unavailable.some((kind) => error instanceof kind)) return true;
  // The pool says by a name that it gave up waiting for a connection: its class is not public.
  if (error.name === "MongoWaitQueueTimeoutError") return true;
  return error instanceof MongoServerError && (unavailableCodes.has(error.code) || error.hasErrorLabel("RetryableWriteError"));
}
