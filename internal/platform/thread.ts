/** A thread, of which everybody learns how it is and how it ended, also who asks later. */

import { Worker, type WorkerOptions } from "node:worker_threads";

export interface Thread {
  readonly worker: Worker;
  /** Resolves with its first message. Rejects if it ended before. */
  readonly started: Promise<void>;
  /** Resolves when it has ended, however it did. */
  readonly ended: Promise<void>;
  /** Rejects with what ended it; never resolves. */
  readonly failed: Promise<never>;
  /** From now on its end is no failure. */
  expectEnd(): void;
}

/** Starts a thread. Its name is for messages. */
export function startThread(url: URL, { name, ...options }: WorkerOptions & { readonly name: string }): Thread {
  const worker = new Worker(url, { ...options, name });
  const [started, ended, failed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<never>()];
  let isEndExpected = false;
  for (const { promise } of [started, failed]) promise.catch(() => undefined);
  worker.once("message", () => started.resolve());
  worker.on("error", failed.reject);
  worker.once("exit", (code) => {
    if (!isEndExpected) failed.reject(new Error(`the thread ${name} has ended with exit code ${code}`));
    failed.promise.catch(started.reject);
    ended.resolve();
  });
  return { worker, started: started.promise, ended: ended.promise, failed: failed.promise, expectEnd: () => void (isEndExpected = true) };
}
