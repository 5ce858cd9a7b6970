/** The whole system under load while everything is killed, frozen and cut off; and the proof that the checker would have seen it fail. */

import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LogRecord } from "../../internal/cqrs/log.ts";
import { PartitionPositionSchema } from "../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import type { Attempt, Delivered, Read } from "../chaos/history.ts";
import { type Found, judge } from "../chaos/judge.ts";
import { formatReport } from "../chaos/report.ts";
import { isFinal } from "../chaos/results.ts";
import { type EraReport, type Report, run } from "../chaos/run.ts";
import { orderTopics } from "../support/order-domain.ts";
import { kafka, mongo } from "../support/servers.ts";

const FAULTS = 25;

/** A run takes about two minutes on an idle machine with two cores. */
const TIMEOUT_MS = 10 * 60_000;

const { events, state } = orderTopics;

/** Each changes one thing in what a run has left, under the number of the invariant that it breaks. */
const tampered: Readonly<Record<string, (found: Found) => Found>> = {
  "I1 an answer with another version": (found) => withAnswer(found, ({ result }) => ({ ...result, version: 99 })),
  "I1 an answer to a command that nobody decided": (found) =>
    withAttempt(found, isAccepted, (attempt) => ({ ...attempt, commandId: "lost" })),
  "I2 an answer with another token": (found) => withAnswer(found, ({ result }) => ({ ...result, token: "" })),
  "I3 a refused command that was decided": (found) => withResult(found, { kind: "failed", reason: "NOT_SERVING" }),
  "I4 a command that nobody sent": (found) => withHistory(found, { attempts: found.history.attempts.filter(isNot(firstAccepted(found))) }),
  "I6 an event that is missing": (found) => withRecords(found, events.name, (records) => records.toSpliced(2, 1)),
  "I7 an event with other facts": (found) => withRecords(found, events.name, (records) => swapped(records, 1, 2)),
  "I8 a slice without its state": (found) =>
    withRecords(found, state.name, (records) => records.toSpliced(records.findIndex(isSnapshot), 1)),
  "I8 a slice that was written by another": (found) => withRecords(found, state.name, (records) => records.map(byAnother)),
  "I9 a position that was not committed": (found) => withLog(found, { committed: new Map() }),
  "I10 a batch of a former owner": (found) => withBatches(found, (batch) => ({ ...batch, producerEpoch: -1 })),
  "I10 a batch outside a transaction": (found) => withBatches(found, (batch) => ({ ...batch, isTransactional: false })),
  "I11 a later version before an earlier one": (found) => withAnsweredFirst(found),
  "I12 another expectation than was decided": (found) => withAttempt(found, isAccepted, (attempt) => ({ ...attempt, expectedVersion: 77 })),
  "I13 a document with other facts": (found) => withDocuments(found, (document) => ({ ...document, orderId: "another" })),
  "I13 a document of nobody": (found) => withDocuments(found, (document) => ({ ...document, _id: "nobody" })),
  "I14 a read older than what was written": (found) => withRead(found, { after: "write" }),
  "I15 a read older than what was read": (found) => withRead(found, { after: "read" }),
  "I16 a watch that goes back": (found) => withWatch(found, (versions) => [...versions, 1]),
  "I16 a watch that stops early": (found) => withWatch(found, (versions) => versions.slice(0, -1)),
  "I17 a list without an order": (found) => withRead(found, { after: "list", order: undefined }),
  "I18 an open transaction": (found) => withLog(found, { ends: found.log.ends.map((end) => ({ ...end, stable: end.stable - 1 })) }),
  "I20 a bad record that is lost": (found) => ({ ...found, poison: found.poison + 1_000 }),
  "I21 a subscription that leaves an event out": (found) => withSubscription(found, (delivered) => delivered.toSpliced(3, 1)),
  "I21 a subscription that delivers an event twice": (found) =>
    withSubscription(found, (delivered) => delivered.toSpliced(3, 0, checked(delivered[3]))),
  "I22 a view that does not show what it is said to": (found) =>
    withHistory(found, { sights: [{ ...checked(found.history.sights[0]), seen: 0 }], setBacks: [] }),
  "I22 a stage that nobody asked for": (found) => withAnswer(found, ({ result }) => ({ ...result, stage: 99 })),
  "I23 a stream that was decided in another order": (found) => withHistory(found, { pipelines: [pipelineOf(found, (a, b) => b - a)] }),
};

describe.skipIf(kafka?.kind !== "program" || mongo?.kind !== "program")("chaos", () => {
  const seed = Date.now() % 2 ** 31;
  let report: Report;
  /** The first one, whose log is whole. */
  let era: EraReport;

  beforeAll(async () => {
    const load = { seed, sessions: 48, commandsPerSecond: 80 };
    report = await run({ ...load, brokers: 1, members: 1, faults: FAULTS, eras: 1, paceMs: 4_000, only: "", progress: () => undefined });
    const [first] = report.eras;
    era = checked(first);
  }, TIMEOUT_MS);
  afterAll(() => process.stdout.write(`chaos, seed ${seed}: ${formatReport(report)}\n`));

  it("breaks no promise", () => {
    expect(report.violations).toEqual([]);
  });

  it("leaves most commands decided, and none unknown for ever", () => {
    expect(report.eras.flatMap(({ struck }) => struck).length).toBeGreaterThanOrEqual(FAULTS);
    expect(era.account.decided).toBeGreaterThan(300);
    expect(report.eras.map(({ unknown }) => unknown)).toEqual([0]);
  });

  it("has a load of which most commands are accepted", () => {
    const answers = era.history.attempts.filter(isFinal);
    const rejected = answers.filter(({ result }) => result.kind === "rejected");
    expect(rejected.length / answers.length).toBeLessThan(0.3);
  });

  it.each(Object.keys(tampered))("%s would have been found", (name) => {
    const [, invariant = ""] = /^(I\d+) /.exec(name) ?? [];
    const { violations } = judge(tampered[name]?.(era.found) ?? era.found);
    expect(violations.map((violation) => violation.slice(0, violation.indexOf(":")))).toContain(invariant);
  });
});

function isAccepted({ result, isInquiry }: Attempt): boolean {
  return !isInquiry && result.kind === "ok" && result.version !== undefined;
}

function isNot(one: Attempt) {
  return ({ commandId }: Attempt): boolean => commandId !== one.commandId;
}

function firstAccepted({ history }: Found): Attempt {
  return checked(history.attempts.find(isAccepted));
}

function withHistory(found: Found, change: Partial<Found["history"]>): Found {
  return { ...found, history: { ...found.history, ...change } };
}

function withAttempt(found: Found, matches: (attempt: Attempt) => boolean, change: (attempt: Attempt) => Attempt): Found {
  const index = found.history.attempts.findIndex(matches);
  return withHistory(found, { attempts: found.history.attempts.with(index, change(checked(found.history.attempts[index]))) });
}

function withAnswer(found: Found, change: (attempt: Attempt) => object): Found {
  return withAttempt(found, isAccepted, (attempt) => ({ ...attempt, result: change(attempt) as Attempt["result"] }));
}

/** All attempts of a command had this result. */
function withResult(found: Found, result: Attempt["result"]): Found {
  const { commandId } = firstAccepted(found);
  return withHistory(found, {
    attempts: found.history.attempts.map((each) => (each.commandId === commandId ? { ...each, result } : each)),
  });
}

/** The accepted commands of an order with several. */
function ofOneOrder(found: Found): readonly Attempt[] {
  const accepted = found.history.attempts.filter(isAccepted);
  return checked([...Map.groupBy(accepted, ({ orderId }) => orderId).values()].find((each) => versionsOf(each).size > 2));
}

/** Commands of an order as if they had been sent on one stream, sorted by their versions. */
function pipelineOf(found: Found, compare: (a: number, b: number) => number): Found["history"]["pipelines"][number] {
  const sorted = ofOneOrder(found).toSorted((a, b) => compare(versionOf(a), versionOf(b)));
  return { orderId: checked(sorted[0]).orderId, commandIds: sorted.map(({ commandId }) => commandId) };
}

/** The last command of an order was answered before all others were sent. */
function withAnsweredFirst(found: Found): Found {
  const ofOrder = ofOneOrder(found);
  const last = checked(ofOrder.toSorted((a, b) => versionOf(b) - versionOf(a))[0]);
  const times = { startedAtMs: -2, endedAtMs: -1 };
  return withHistory(found, {
    attempts: found.history.attempts.map((each) => (each.commandId === last.commandId ? { ...each, ...times } : each)),
  });
}

function versionsOf(attempts: readonly Attempt[]): ReadonlySet<number> {
  return new Set(attempts.map(versionOf));
}

function versionOf({ result }: Attempt): number {
  return result.kind === "ok" ? (result.version ?? 0) : 0;
}

function withRead(found: Found, change: Partial<Read>): Found {
  const read = checked(found.history.reads.find(({ order }) => order !== undefined));
  return withHistory(found, { reads: [...found.history.reads, { ...read, atLeast: 99, ...change }] });
}

function withWatch(found: Found, change: (versions: readonly number[]) => readonly number[]): Found {
  const watches = found.history.watches.map((watch) => ({ ...watch, versions: [...change(watch.versions)] }));
  return withHistory(found, { watches });
}

function withSubscription(found: Found, change: (delivered: readonly Delivered[]) => readonly Delivered[]): Found {
  const [first, ...others] = found.history.subscriptions;
  const subscription = checked(first);
  return withHistory(found, { subscriptions: [{ ...subscription, delivered: [...change(subscription.delivered)] }, ...others] });
}

function withLog(found: Found, change: Partial<Found["log"]>): Found {
  return { ...found, log: { ...found.log, ...change } };
}

/** In one partition. */
function withRecords(found: Found, topic: string, change: (records: readonly LogRecord[]) => readonly LogRecord[]): Found {
  const records: Found["log"]["records"] = (name, partition) => {
    const known = found.log.records(name, partition);
    return name === topic && partition === 0 ? change(known) : known;
  };
  return withLog(found, { records });
}

function swapped(records: readonly LogRecord[], a: number, b: number): readonly LogRecord[] {
  return records.with(a, checked(records[b])).with(b, checked(records[a]));
}

function isSnapshot({ key }: LogRecord): boolean {
  return key !== "__position";
}

function byAnother(record: LogRecord): LogRecord {
  if (isSnapshot(record)) return record;
  return {
    ...record,
    value: toBinary(PartitionPositionSchema, { ...fromBinary(PartitionPositionSchema, record.value), writer: "another" }),
  };
}

function withBatches(found: Found, change: (batch: Found["batches"][number][number]) => Found["batches"][number][number]): Found {
  return { ...found, batches: found.batches.map((batches) => [...batches.slice(0, -1), change(checked(batches.at(-1)))]) };
}

function withDocuments(found: Found, change: (document: object) => object): Found {
  const [first, ...rest] = found.documents.get("orders.v2") ?? [];
  return { ...found, documents: new Map([...found.documents, ["orders.v2", [change(checked(first)), ...rest]]]) };
}

function checked<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Error("the run has left nothing like it");
  return value;
}
