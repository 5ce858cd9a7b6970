/** One order's history under concurrency and kills, judged by a linearizability checker that is not ours. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Operation } from "../linearizability/record.ts";
import { judgeHistory, linearizability, recordUnderKills } from "../linearizability/run.ts";
import { kafka, mongo } from "../support/servers.ts";

/** Less than half a minute on an idle machine with two cores. */
const CALLS = 500;
const KILLS = 5;
const CLIENTS = 8;
const TIMEOUT_MS = 10 * 60_000;

/** Each changes a history that can be explained into one that cannot. */
const wrong: Readonly<Record<string, (history: readonly Operation[]) => readonly Operation[]>> = {
  "a command that is decided twice": (history) => {
    const last = lastOf(history, ({ kind, answer }) => kind === "set" && answer === "accepted");
    return [...history, atTheEnd(history, { ...last, version: last.version + 1 })];
  },
  "an accepted command that is lost": (history) => {
    const lost = lastOf(history, (each) => each.answer === "accepted" && history.some((other) => isAnsweredAfter(other, each)));
    // Nor may one whose outcome nobody knows have taken its place.
    return history.filter(({ order, commandId, answer }) => commandId !== lost.commandId && (order !== lost.order || answer !== "unknown"));
  },
  "a read that is older than its token": (history) =>
    changed(
      history,
      lastOf(history, ({ kind }) => kind === "read"),
      (read) => ({ ...read, atLeast: read.version + 1 }),
    ),
  "a read of what nobody wrote": (history) =>
    changed(
      history,
      lastOf(history, ({ kind, version }) => kind === "read" && version > 0),
      (read) => ({ ...read, value: "nobody's" }),
    ),
  "an expectation that did not hold": (history) => {
    const { commandId } = lastOf(history, ({ kind, answer }) => kind === "set" && answer === "accepted");
    return history.map((each) => (each.commandId === commandId && each.kind === "set" ? { ...each, expected: each.version } : each));
  },
  "an answered command that is said to be unknown": (history) => {
    const answered = lastOf(history, ({ kind, answer }) => kind === "set" && answer === "accepted");
    return [...history, atTheEnd(history, { ...answered, kind: "ask", answer: "never sent", version: 0 })];
  },
};

describe.skipIf(linearizability === undefined || kafka?.kind !== "program" || mongo?.kind !== "program")("one order, many clients", () => {
  const seed = Date.now() % 2 ** 31;
  let folder: string;
  let history: readonly Operation[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "headwater-linearizability-"));
    history = await recordUnderKills({ seed, calls: CALLS, kills: KILLS, clients: CLIENTS });
  }, TIMEOUT_MS);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("is linearizable under kills", async () => {
    const { isLinearizable, output } = await judgeHistory(history, join(folder, "history.jsonl"));
    process.stdout.write(`linearizability, seed ${seed}: ${output}\n`);
    expect(isLinearizable, output).toBe(true);
    expect(history.length).toBeGreaterThan(CALLS / 2);
  });

  it.each(Object.keys(wrong))("%s is found", async (name) => {
    const { isLinearizable } = await judgeHistory(wrong[name]?.(history) ?? history, join(folder, "wrong.jsonl"));
    expect(isLinearizable).toBe(false);
  });
});

function isAnsweredAfter(other: Operation, { order, version, commandId }: Operation): boolean {
  return other.order === order && other.answer === "accepted" && other.version > version && other.commandId !== commandId;
}

function lastOf(history: readonly Operation[], matches: (operation: Operation) => boolean): Operation {
  const found = history.findLast(matches);
  if (found === undefined) throw new Error("the history has nothing like it");
  return found;
}

/** As if it had been done when all else was done. */
function atTheEnd(history: readonly Operation[], operation: Operation): Operation {
  const end = Math.max(...history.map((each) => each.return ?? each.call));
  return { ...operation, call: end + 1, return: end + 2 };
}

function changed(history: readonly Operation[], one: Operation, change: (operation: Operation) => Operation): readonly Operation[] {
  return history.map((each) => (each === one ? change(each) : each));
}
