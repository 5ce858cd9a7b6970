/** A process within the memory that the manifests give it, and how it fares. */

import { type ProcessName, type Servers, startProcess, type TestProcess, type TestProcessOptions } from "../support/processes.ts";
import { limitMemory } from "./memory-limit.ts";
import { memoryOf } from "./sizes.ts";

export interface LimitedProcess extends AsyncDisposable {
  readonly name: ProcessName;
  readonly address: string;
  readonly limitBytes: number;
  readonly kind: "cgroup" | "watchdog";
  readonly peakBytes: number;
  /** How it ended, each time that it did. */
  readonly endings: readonly string[];
}

const LOOK_EVERY_MS = 50;

/** Starts it, and again whenever it ends. */
export async function startLimited(
  name: ProcessName,
  options: Servers & Pick<TestProcessOptions, "environment" | "nodeArgs">,
): Promise<LimitedProcess> {
  const limitBytes = memoryOf(name);
  const limit = limitMemory(limitBytes);
  const environment = { ...options.environment, ...limit.environment };
  let started: TestProcess | undefined;
  const looking = setInterval(() => started !== undefined && limit.look(started.pid), LOOK_EVERY_MS);
  const process_ = await startProcess(name, { ...options, environment, wrap: limit.wrap });
  started = process_;
  const endings: string[] = [];
  let isOver = false;
  const watching = watch();
  return {
    name,
    address: process_.address,
    limitBytes,
    kind: limit.kind,
    get peakBytes() {
      return limit.peakBytes;
    },
    endings,
    async [Symbol.asyncDispose]() {
      isOver = true;
      clearInterval(looking);
      await process_[Symbol.asyncDispose]();
      await watching;
      limit[Symbol.dispose]();
    },
  };

  async function watch(): Promise<void> {
    while (!isOver) {
      const how = await process_.exited;
      if (isOver) return;
      endings.push(`${how}: ${process_.output().split("\n").slice(-1).join("")}`);
      await process_.start().catch(() => process_.end("SIGKILL"));
    }
  }
}
