/** Holds all invariants against what a run has left, and what its clients saw. Every violation begins with the invariant's number. */

import { checkHistory } from "../support/history-checker.ts";
import { orderDomain } from "../support/order-domain.ts";
import { checkAnswers } from "./check-answers.ts";
import { checkDocuments, checkReads } from "./check-documents.ts";
import { checkCommitted, checkEpochs, checkStable } from "./check-log.ts";
import { type Account, checkSlices } from "./check-slices.ts";
import { checkViews } from "./check-views.ts";
import type { Batch, dumpDocuments, LogDump } from "./dump.ts";
import { evidenceOf } from "./evidence.ts";
import type { ClientHistory } from "./history.ts";

export interface Found {
  readonly log: LogDump;
  /** Of the events, the state and the dead letters. */
  readonly batches: readonly (readonly Batch[])[];
  readonly documents: Awaited<ReturnType<typeof dumpDocuments>>;
  readonly history: ClientHistory;
  /** Records that were put among the commands and are none. */
  readonly poison: number;
  readonly partitions: number;
}

export interface Judgement {
  readonly violations: readonly string[];
  readonly account: Account;
  readonly events: number;
}

/** Which invariant a sentence of the history checker is about. */
const invariants: readonly (readonly [RegExp, string])[] = [
  [/has the sequence|has no metadata/, "I6"],
  [/goes to version|has the key|has the id/, "I5"],
  [/was decided before/, "I2"],
  [/dead letters/, "I20"],
  [/events, a replay gives|^event \d+ of partition \d+ differs/, "I7"],
];

export function judge({ log, batches, documents, history, poison, partitions }: Found): Judgement {
  const evidence = evidenceOf(log, partitions);
  const slices = evidence.partitions.map((partition) => checkSlices(partition, partitions));
  const account = slices.reduce<Account>(
    (sum, each) => ({
      decided: sum.decided + each.account.decided,
      answered: sum.answered + each.account.answered,
      poison: sum.poison + each.account.poison,
    }),
    { decided: 0, answered: 0, poison: 0 },
  );
  const records = evidence.partitions.reduce((sum, { commands }) => sum + commands.length, 0);
  const accounted = account.decided + account.answered + account.poison;
  const outcomes = evidence.decisions.length;
  return {
    account,
    events: evidence.events.length,
    violations: [
      ...checkHistory(orderDomain, evidence.partitions, []).map(withInvariant),
      ...slices.flatMap(({ problems }) => problems),
      ...checkCommitted(evidence, log),
      ...checkStable(log),
      ...batches.flatMap(checkEpochs),
      ...checkAnswers(evidence, history.attempts),
      ...checkDocuments(evidence, documents),
      ...checkReads(evidence, history.reads),
      ...checkViews(evidence, history),
      ...(accounted === records ? [] : [`I20: of ${records} commands in the log, ${accounted} are accounted for`]),
      ...(account.decided === outcomes ? [] : [`I20: ${account.decided} commands were decided, but ${outcomes} outcomes are kept`]),
      ...(account.poison >= poison ? [] : [`I20: of ${poison} bad records only ${account.poison} are there`]),
    ],
  };
}

function withInvariant(problem: string): string {
  const [, name = "I9"] = invariants.find(([pattern]) => pattern.test(problem)) ?? [];
  return `${name}: ${problem}`;
}
