import { MessageChannel, type MessagePort } from "node:worker_threads";
import type { Log, Topic } from "../../cqrs/log.ts";
import { startThread } from "../../platform/thread.ts";
import { connectEmbeddedLog } from "./client.ts";
import type { StoreOptions } from "./store.ts";
import type { WorkerMessage } from "./worker.ts";

export interface EmbeddedLogOptions {
  /** Where the log is kept; null keeps it in memory, until it is closed. */
  readonly directory: string | null;
  readonly topics: readonly Topic[];
  /** Fixed when a log is created. Absent: what it was created with, 8 for a new one. */
  readonly partitions?: number | undefined;
}

/** The embedded log of this process. */
export interface EmbeddedLog extends Log {
  /** A port for another thread, to be given to `connectEmbeddedLog` there. */
  connect(): MessagePort;
  /** Rejects if the log's thread dies, with its error; never resolves otherwise. */
  readonly failed: Promise<never>;
}

/** Opens the log in a thread of its own. @throws {Error} the folder is used by another process, or its log cannot be read */
export async function openEmbeddedLog(options: EmbeddedLogOptions): Promise<EmbeddedLog> {
  const url = new URL("./worker.ts", import.meta.url);
  const thread = startThread(url, { name: "log", workerData: options satisfies StoreOptions });
  const { worker } = thread;
  await thread.started.catch((error: unknown) => {
    throw explained(error, options.directory);
  });
  const connect = (): MessagePort => {
    const { port1, port2 } = new MessageChannel();
    worker.postMessage({ connect: port1 } satisfies WorkerMessage, [port1]);
    return port2;
  };
  const log = await connectEmbeddedLog(connect(), { durable: options.directory !== null });
  return {
    ...log,
    connect,
    failed: thread.failed,
    async [Symbol.asyncDispose]() {
      thread.expectEnd();
      await log[Symbol.asyncDispose]();
      worker.postMessage({ stop: true } satisfies WorkerMessage);
      await thread.ended;
    },
  };
}

function explained(error: unknown, directory: string | null): unknown {
  if (error instanceof Error && error.message.includes("database is locked")) {
    return new Error(`${directory ?? "the log"} is in use by another process; stop that one, or choose another folder with --data`, {
      cause: error,
    });
  }
  return error;
}
