/** The processes that a measurement starts; each ends with its scope. */

import { type ChildProcess, execFileSync, fork } from "node:child_process";
import { once } from "node:events";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { GetOrderResponseSchema, ListOrdersResponseSchema } from "../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import type { Job, JobAnswer, LoadResult } from "./load.ts";
import type { Delivery, WatchAnswer, WatchJob } from "./watchers.ts";

export interface LoadGenerator extends AsyncDisposable {
  /** @throws {Error} a call has failed */
  run(job: Job): Promise<LoadResult>;
}

export function startLoadGenerator(): LoadGenerator {
  const child = fork(new URL("./load.ts", import.meta.url));
  return {
    async run(job) {
      child.send(job);
      const answer = await message<JobAnswer>(child);
      if ("error" in answer) throw new Error(`load of ${job.workload.kind} on ${job.address}: ${answer.error}`);
      return answer.result;
    },
    [Symbol.asyncDispose]: () => end(child),
  };
}

export interface Watchers extends AsyncDisposable {
  /** Resolves when each of the streams has had its first answer. Those of before are left. */
  watch(job: Omit<Extract<WatchJob, { kind: "watch" }>, "kind">): Promise<void>;
  /** What all streams have shown since, up to the last versions. */
  finish(last: Readonly<Record<string, number>>): Promise<readonly Delivery[]>;
}

export function startWatchers(): Watchers {
  const child = fork(new URL("./watchers.ts", import.meta.url));
  const ask = async (job: WatchJob): Promise<readonly Delivery[]> => {
    child.send(job);
    const answer = await message<WatchAnswer>(child);
    if ("error" in answer) throw new Error(`watchers: ${answer.error}`);
    return answer.deliveries;
  };
  return {
    watch: async (job) => void (await ask({ kind: "watch", ...job })),
    finish: (last) => ask({ kind: "finish", last }),
    [Symbol.asyncDispose]: () => end(child),
  };
}

export interface Echo extends AsyncDisposable {
  readonly address: string;
}

/** What the echo answers queries with; without it, nothing. */
export interface EchoAnswers {
  readonly getOrder?: MessageInitShape<typeof GetOrderResponseSchema>;
  readonly listOrders?: MessageInitShape<typeof ListOrdersResponseSchema>;
}

/** Starts a server that answers queries with what it is given, and commands with a receipt. */
export async function startEcho({ getOrder = {}, listOrders = {} }: EchoAnswers = {}): Promise<Echo> {
  const answers = [
    toBinary(GetOrderResponseSchema, create(GetOrderResponseSchema, getOrder)),
    toBinary(ListOrdersResponseSchema, create(ListOrdersResponseSchema, listOrders)),
  ];
  const child = fork(
    new URL("./echo.ts", import.meta.url),
    answers.map((answer) => Buffer.from(answer).toString("base64")),
  );
  const address = await message<string>(child);
  return { address, [Symbol.asyncDispose]: () => end(child) };
}

/** What a process holds of the machine's memory now, in megabytes. */
export function residentMb(pid: number): number {
  return Number(execFileSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" })) / 1024;
}

function message<Message>(child: ChildProcess): Promise<Message> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error(`${child.spawnargs[1]} ended before it answered`));
    child.once("exit", ended);
    child.once("message", (answer) => {
      child.off("exit", ended);
      resolve(answer as Message);
    });
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await exited;
}
