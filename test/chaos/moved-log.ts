/**
 * A log moves through a file into topics of its own names, as operators move one. It has to be the
 * same log: its events, and the answers to all commands that were decided in it.
 */

import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { operate } from "../support/operator.ts";
import { orderTopics } from "../support/order-domain.ts";
import type { Sent } from "./commands.ts";
import type { Attempt, ClientHistory, Result } from "./history.ts";
import { createLoad } from "./load.ts";
import type { ChaosServers } from "./servers.ts";
import { createSystem } from "./system.ts";

export interface MoveOptions {
  readonly servers: ChaosServers;
  readonly folder: string;
  readonly seed: number;
  readonly history: ClientHistory;
  /** Deletes all topics. */
  readonly empty: () => Promise<void>;
}

/** How many commands are sent again. */
const REPEATED = 400;
const DEADLINE_MS = 120_000;

/** Nothing runs. Returns what is not as it was. */
export async function moveLog({ servers, folder, seed, history, empty }: MoveOptions): Promise<readonly string[]> {
  const file = join(folder, "moved.jsonl");
  const log = (...args: readonly string[]) =>
    operate(["log", ...args, "--yes", "--system", "kafka", "--kafka-brokers", servers.addresses.join(), "--mongo-uri", servers.mongo.uri]);
  try {
    const exported = await log("export", file, "--settled");
    if (exported.code !== 0) return [`I25: the log cannot be exported: ${exported.stderr}`];
    const before = await eventsIn(file);
    await empty();
    const imported = await log("import", file);
    if (imported.code !== 0) return [`I25: the log cannot be imported: ${imported.stderr}`];
    const answers = await askAgain({ servers, folder, seed, history });
    const again = await log("export", file, "--settled");
    if (again.code !== 0) return [...answers, `I25: the log that was moved cannot be exported: ${again.stderr}`];
    const after = await eventsIn(file);
    const changed = [...before].filter(([partition, events]) => events !== after.get(partition));
    return [...answers, ...changed.map(([partition]) => `I25: partition ${partition} has other events after the log was moved`)];
  } finally {
    await rm(file, { force: true });
  }
}

/** By partition, with all bytes. */
async function eventsIn(file: string): Promise<ReadonlyMap<number, string>> {
  const lines = (await readFile(file, "utf8")).trimEnd().split("\n").slice(1, -1);
  const records = lines.map((line) => JSON.parse(line) as { topic: string; partition: number; key: string; value: string });
  const events = records.filter(({ topic }) => topic === orderTopics.events.name);
  const byPartition = Map.groupBy(events, ({ partition }) => partition);
  return new Map([...byPartition].map(([partition, own]) => [partition, own.map(({ key, value }) => `${key} ${value}`).join("\n")]));
}

async function askAgain({ servers, folder, seed, history }: Omit<MoveOptions, "empty">): Promise<readonly string[]> {
  const decided = new Map(history.attempts.filter(isDecided).map((attempt) => [nameOf(attempt), attempt.result]));
  const again = [...new Map(history.sent.filter((each) => decided.has(nameOf(each))).map((each) => [each.commandId, each])).values()];
  await using system = createSystem({ brokers: servers.addresses, mongoUri: servers.mongo.uri, folder });
  await Promise.all([system.start("command-handler", 1), system.start("command-service")]);
  await using load = createLoad({ seed });
  const commandAddresses = system.named("command-service").map(({ address }) => address);
  await load.repeat({ history: { ...history, sent: again }, commandAddresses, most: REPEATED, further: 0, deadlineMs: DEADLINE_MS });
  return load.history.attempts.flatMap((attempt) => {
    const { result } = attempt;
    const former = decided.get(nameOf(attempt));
    if (result.kind === "unknown" || former === undefined || answerIn(result) === answerIn(former)) return [];
    return [`I25: ${attempt.commandId} was answered ${answerIn(former)}, and ${answerIn(result)} after the log was moved`];
  });
}

function isDecided({ isInquiry, result }: Attempt): boolean {
  if (result.kind === "ok") return !isInquiry && result.version !== undefined;
  // That one is about another command.
  return !isInquiry && result.kind === "rejected" && result.reason !== "COMMAND_ID_REUSED";
}

function nameOf({ commandId, fingerprint }: Pick<Sent, "commandId" | "fingerprint">): string {
  return `${commandId} ${Buffer.from(fingerprint).toString("hex")}`;
}

/** All of an answer but its stage and its token, which is of another log. */
function answerIn(result: Result): string {
  switch (result.kind) {
    case "ok":
      return `accepted at version ${result.version} and time ${result.acceptedAtMs}`;
    case "rejected":
      return `${result.reason} at version ${result.version}: ${result.message}`;
    case "failed":
    case "unknown":
      return `${result.kind}: ${result.reason}`;
  }
}
