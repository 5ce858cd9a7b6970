import { create, fromBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type CommandOutcome, CommandOutcomeSchema } from "../../gen/headwater/cqrs/v1/record_pb.ts";
import { MAX_OUTCOMES, Outcomes, pageKey, pageKeysOf, pageOfKey } from "./outcomes.ts";

const HOUR_MS = 60 * 60 * 1000;

function outcomeOf(commandId: string, acceptedMs: number): CommandOutcome {
  return create(CommandOutcomeSchema, { commandId, fingerprint: new Uint8Array(16), version: 1, acceptedAt: timestampFromMs(acceptedMs) });
}

/** The records of the state topic, and an aggregate that is read from them. */
function stateTopic() {
  const values = new Map<string, Uint8Array>();
  let outcomes = new Outcomes("a");
  const write = (): void => {
    for (const { key, value } of outcomes.takeChanges()) {
      if (value === null) values.delete(key);
      else values.set(key, value);
    }
  };
  return {
    values,
    outcomes: () => outcomes,
    write,
    /** As the next handler reads it. */
    readAgain() {
      write();
      const recent = outcomes.recent.map((bytes) => fromBinary(CommandOutcomeSchema, bytes));
      const { range } = outcomes;
      const pages = pageKeysOf({ aggregateId: "a", ...range }).map((key) => values.get(key) ?? new Uint8Array());
      outcomes = new Outcomes("a", recent, range.firstPage, pages);
    },
  };
}

/** Decides a command as the command handler does. */
function decide(outcomes: Outcomes, commandId: string, nowMs: number): { readonly answer: Uint8Array; readonly isNew: boolean } {
  const known = outcomes.find(commandId);
  if (known !== undefined) return { answer: known, isNew: false };
  outcomes.forgetOld(nowMs);
  return { answer: outcomes.add(outcomeOf(commandId, nowMs)), isNew: true };
}

type Step =
  | { readonly kind: "commands"; readonly count: number }
  /** Commands that were sent before come again, however far back. */
  | { readonly kind: "resend"; readonly back: number; readonly count: number }
  | { readonly kind: "time"; readonly ms: number }
  | { readonly kind: "read again" };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant("commands" as const), count: fc.integer({ min: 1, max: 300 }) }),
    fc.record({ kind: fc.constant("resend" as const), back: fc.integer({ min: 1, max: 1_000 }), count: fc.integer({ min: 1, max: 300 }) }),
    fc.record({ kind: fc.constant("time" as const), ms: fc.integer({ min: 0, max: 10 * HOUR_MS }) }),
    fc.record({ kind: fc.constant("read again" as const) }),
  ),
  { maxLength: 20 },
);

describe("the outcomes of an aggregate", () => {
  it("are the first ones for a day, whatever comes in between and whoever reads them", () => {
    fc.assert(
      fc.property(steps, (each) => {
        const topic = stateTopic();
        const first = new Map<string, { readonly answer: Uint8Array; readonly atMs: number }>();
        const sent: string[] = [];
        const forgotten: string[] = [];
        let nowMs = Date.parse("2026-01-01");
        const send = (commandId: string): void => {
          const { answer, isNew } = decide(topic.outcomes(), commandId, nowMs);
          const before = first.get(commandId);
          const isInTime = before !== undefined && nowMs - before.atMs <= 24 * HOUR_MS;
          if (isInTime && (isNew || Buffer.compare(answer, before.answer) !== 0)) forgotten.push(commandId);
          if (isNew) first.set(commandId, { answer: answer.slice(), atMs: nowMs });
        };
        for (const step of each) {
          if (step.kind === "time") nowMs += step.ms;
          else if (step.kind === "read again") topic.readAgain();
          else if (step.kind === "commands") {
            for (let count = 0; count < step.count; count += 1) {
              sent.push(`command-${sent.length}`);
              send(sent.at(-1) ?? "");
            }
          } else for (const commandId of sent.slice(-step.back).slice(0, step.count)) send(commandId);
        }
        topic.write();
        expect(forgotten).toEqual([]);
        expect([...topic.values.keys()].toSorted()).toEqual([...pageKeysOf({ aggregateId: "a", ...topic.outcomes().range })].toSorted());
      }),
      { numRuns: 200 },
    );
  });

  it("are full at a number that is stated, and have room again when the oldest are forgotten", () => {
    const outcomes = new Outcomes("a");
    const startMs = Date.parse("2026-01-01");
    let count = 0;
    for (; !outcomes.isFull; count += 1) decide(outcomes, `command-${count}`, startMs + count);
    expect(count).toBe(MAX_OUTCOMES);
    const waitMs = outcomes.fullForMs(startMs + HOUR_MS);
    expect(waitMs).toBeGreaterThan(23 * HOUR_MS);
    outcomes.forgetOld(startMs + HOUR_MS + waitMs);
    expect(outcomes.isFull).toBe(true);
    outcomes.forgetOld(startMs + HOUR_MS + waitMs + 1);
    expect(outcomes.isFull).toBe(false);
    expect(outcomes.find("command-0")).toBeUndefined();
    expect(outcomes.find(`command-${count - 1}`)).toBeDefined();
  });

  it("take about 80 bytes each, also those that are kept in pages", () => {
    const outcomes = new Outcomes("order-with-an-id-of-36-characters-12");
    for (let count = 0; count < 1_000; count += 1) outcomes.add({ ...outcomeOf(crypto.randomUUID(), Date.now()), sequence: 1_000_000n });
    const pages = outcomes.takeChanges();
    const bytes = pages.reduce((sum, { key, value }) => sum + key.length + (value?.length ?? 0), 0);
    expect(bytes / (pages.length * 32)).toBeGreaterThan(60);
    expect(bytes / (pages.length * 32)).toBeLessThan(90);
  });
});

it.each(["order-1", "a/b", "a/1", "x/y/z"])("the pages of %s have keys of their own", (aggregateId) => {
  expect(pageOfKey(pageKey(aggregateId, 7))).toEqual({ aggregateId, page: 7 });
  expect(pageOfKey(aggregateId)).toBeUndefined();
});
