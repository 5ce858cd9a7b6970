/**
 * Builds a generation of a view beside the live one, without being in its way: folds all events, follows until it has caught up, is verified
 * against a fresh fold, and then takes the live one's place. All projectors share the work; the one that has the first partition decides.
 */

import type { Clock } from "../clock.ts";
import type { Documents } from "../documents.ts";
import type { Projection } from "../projection.ts";
import { untilAborted } from "../until-aborted.ts";
import { noteBuild, switchToBuild } from "./generation-changes.ts";
import { type BuildState, openCatalogue } from "./generations.ts";
import { type KeepOptions, keepGenerations } from "./keep-generations.ts";
import { listParked, type ParkedKey } from "./parking.ts";
import { verifyView } from "./verify-view.ts";

/** What builds work with. */
export type BuildEngine = Pick<
  KeepOptions,
  "log" | "documents" | "clock" | "events" | "topics" | "group" | "instance" | "signal" | "requests"
> & {
  /** How many events one batch of a build takes at most. Default 250. */
  readonly buildBatchEvents?: number;
};

/** What is built. */
export interface BuildPlan {
  readonly view: Projection;
  /** The view in the generation to build. */
  readonly generation: Projection;
  /** The share of its time that it works, in percent. */
  readonly pace: number;
}

/** Small, so that the live projection, which may share the thread, never waits long. */
const BUILD_BATCH_EVENTS = 250;

/** As close to the end of each partition, a build has caught up: the rest comes with the events of this moment. */
const CAUGHT_UP_RECORDS = 1_000;

const CHECK_EVERY_MS = 500;

/** The partition whose owner decides for all. */
const DECIDING_PARTITION = 0;

/** Runs until the signal aborts, which the change of the catalogue that ends a build brings about. */
export async function runBuild(engine: BuildEngine, plan: BuildPlan): Promise<void> {
  const { documents, clock, group, buildBatchEvents = BUILD_BATCH_EVENTS } = engine;
  const ended = new AbortController();
  const signal = AbortSignal.any([engine.signal, ended.signal]);
  let owned: ReadonlySet<number> = new Set();
  await documents.prepare([plan.generation.collection]);
  const rest = (workedMs: number): Promise<void> => pause(clock, (workedMs * (100 - plan.pace)) / plan.pace, signal);
  const building = keepGenerations({
    ...engine,
    group: `${group}.build.${plan.generation.collection.name}`,
    signal,
    batchEvents: buildBatchEvents,
    generations: () => [plan.generation],
    onPartitions: (partitions) => (owned = partitions),
    ...(plan.pace < 100 && { rest }),
  });
  const deciding = decide({ ...engine, signal }, plan, { owns: () => owned.has(DECIDING_PARTITION), rest });
  try {
    await Promise.race([building, deciding]);
  } finally {
    ended.abort();
    await Promise.all([building, deciding]);
  }
}

interface Decider {
  /** Whether it is this projector's to decide. */
  readonly owns: () => boolean;
  readonly rest: (workedMs: number) => Promise<void>;
}

async function decide(engine: BuildEngine, plan: BuildPlan, { owns, rest }: Decider): Promise<void> {
  const { signal, clock } = engine;
  while (!signal.aborted) {
    await pause(clock, CHECK_EVERY_MS, signal);
    if (signal.aborted || !owns() || !(await hasCaughtUp(engine, plan))) continue;
    const waiting = await findParkedOnlyHere(engine.documents, plan);
    if (waiting > 0) {
      await note(engine, plan, "building", `${waiting} keys are parked in it; it waits for them: headwater parked list`);
      continue;
    }
    await note(engine, plan, "verifying", "");
    if (await isVerified(engine, plan, rest)) {
      await openCatalogue(engine.documents).change(plan.view, (entry) => switchToBuild(entry, plan.generation.collection.name));
      // Its end comes with the news of it.
      await pause(clock, CHECK_EVERY_MS * 10, signal);
    }
  }
}

async function hasCaughtUp({ log, documents, topics }: BuildEngine, { generation }: BuildPlan): Promise<boolean> {
  const checkpoints = await documents.checkpoints(generation.collection.name);
  const ends = await log.ends(topics.events.name);
  return ends.every((end, partition) => {
    const checkpoint = checkpoints.find((each) => each.partition === partition);
    return checkpoint !== undefined && end - checkpoint.nextOffset <= CAUGHT_UP_RECORDS;
  });
}

/** How many keys wait in this generation and in no other of the view: with those that wait in the live one it makes no difference. */
async function findParkedOnlyHere(documents: Documents, { view, generation }: BuildPlan): Promise<number> {
  const entries = (await listParked(documents)).filter((entry) => entry.view === view.name && entry.scope !== "record");
  const placeOf = ({ partition, scope, key }: ParkedKey): string => `${partition}/${scope}/${key}`;
  const others = new Set(entries.filter(({ collection }) => collection !== generation.collection.name).map(placeOf));
  return entries.filter((entry) => entry.collection === generation.collection.name && !others.has(placeOf(entry))).length;
}

async function isVerified(engine: BuildEngine, plan: BuildPlan, rest: Decider["rest"]): Promise<boolean> {
  const { clock, signal } = engine;
  let sinceMs = clock.now();
  const onEvents = async (): Promise<void> => {
    await rest(clock.now() - sinceMs);
    sinceMs = clock.now();
  };
  const { mismatches } = await verifyView({ ...engine, view: plan.generation, all: false, onEvents });
  const [first] = mismatches;
  if (signal.aborted) return false;
  if (first === undefined) return true;
  await note(
    engine,
    plan,
    "failed",
    `${mismatches.length} documents are not what their events make of them, such as ${first.id}: ${first.problem}`,
  );
  return false;
}

async function note({ documents }: BuildEngine, { view, generation }: BuildPlan, state: BuildState, text: string): Promise<void> {
  await openCatalogue(documents).change(view, (entry) => noteBuild(entry, generation.collection.name, { state, note: text }));
}

/** Waits, but no longer than the signal allows; without a delay, until everything else has had its turn. */
async function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const over = Promise.withResolvers<void>();
  const cancel = clock.after(delayMs, over.resolve);
  await untilAborted(over.promise, signal);
  cancel();
}
