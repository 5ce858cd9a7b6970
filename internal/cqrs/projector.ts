/**
 * The read side's engine: keeps the generations of all views up to date, and builds those that are to take a live one's place beside them. The
 * catalogue of generations says which; it is followed while this runs.
 */

import { create, toBinary } from "@bufbuild/protobuf";
import { ViewProgressSchema } from "../gen/headwater/cqrs/v1/command_pb.ts";
import { createBell } from "./bell.ts";
import type { BuildEngine } from "./build-generation.ts";
import { createBuilds } from "./builds.ts";
import type { Cancel } from "./clock.ts";
import { type Checkpoint, NEWS } from "./documents.ts";
import { DEFAULT_PACE, forgetAbandoned, introduce } from "./generation-changes.ts";
import {
  announcedView,
  type Catalogue,
  generationsCollection,
  keptGenerations,
  openCatalogue,
  type ViewGenerations,
} from "./generations.ts";
import { type AppliedPlace, keepGenerations } from "./keep-generations.ts";
import type { NewRecord } from "./log.ts";
import { dropParked, isParkedRequest, parkedCollection } from "./parking.ts";
import { murmur2 } from "./partition.ts";
import type { Projection } from "./projection.ts";
import { untilAborted } from "./until-aborted.ts";

export { GapError } from "./keep-generations.ts";

/** Positions are told again so often, for callers that began to listen after they were reached. */
const REPEAT_PROGRESS_MS = 3_000;

/** What a projector works with. */
export interface ProjectorOptions extends BuildEngine {
  readonly topics: { readonly events: { readonly name: string }; readonly progress: { readonly name: string } };
  readonly views: readonly Projection[];
  /** Told again and again, every few seconds at least, while it is a member of its group and gets on. */
  readonly onProgress?: () => void;
}

/**
 * Runs until the signal aborts.
 *
 * @throws {GapError} the partition sequence has a gap
 * @throws {FencedError} another projector has joined under this instance's name: this one must end
 * @throws {LogUnavailableError | DocumentsUnavailableError} start again when they are back
 */
export async function runProjector(options: ProjectorOptions): Promise<void> {
  const { documents, views, signal } = options;
  const catalogue = openCatalogue(documents);
  await documents.prepare([generationsCollection, parkedCollection]);
  await introduceAll(options, catalogue);
  const ended = new AbortController();
  const following = AbortSignal.any([signal, ended.signal]);
  const [news, changes, requests] = [createBell(), createBell(), createBell()];
  const notice = (checkpoints: readonly Checkpoint[]): void => {
    if (checkpoints.some((checkpoint) => announcedView(checkpoint) !== undefined)) news.ring();
    if (checkpoints.some(isParkedRequest)) for (const bell of [requests, ...builds.requests()]) bell.ring();
  };
  const builds = createBuilds({ ...options, signal: following });
  await documents.watchCheckpoints(notice, following, NEWS);
  let entries = await catalogue.load(views);
  await documents.prepare(keptBy(views, entries).map(({ collection }) => collection));
  await removeAbandoned(options, entries);
  const progress = createProgressTeller(options, () => entries);
  await builds.follow(entries);
  let changed = Promise.withResolvers<void>();
  const tasks = [
    builds.failed,
    followCatalogue(),
    keepGenerations({
      ...options,
      group: projectorGroup(options),
      signal: following,
      generations: () => keptBy(views, entries),
      changes,
      onChanged: () => changed.resolve(),
      requests,
      onApplied: progress.tell,
    }),
  ];
  try {
    await Promise.race(tasks);
  } finally {
    ended.abort();
    progress.close();
    await Promise.allSettled([...tasks.slice(1), builds.stopped()]);
  }

  /** Runs until the signal aborts, which never is the end of it: the others end then too. */
  async function followCatalogue(): Promise<void> {
    for (;;) {
      await news.rung(following);
      if (following.aborted) return;
      const before = keptBy(views, entries);
      entries = await catalogue.load(views);
      const after = keptBy(views, entries);
      await documents.prepare(after.map(({ collection }) => collection));
      await builds.follow(entries);
      if (namesOf(after) !== namesOf(before)) {
        changed = Promise.withResolvers();
        changes.ring();
        await untilAborted(changed.promise, following);
      }
      // Nobody here writes to them any more.
      await removeAbandoned(options, entries);
    }
  }
}

/** Writes down the views that are new to the catalogue, and begins to build those that this code keeps in a newer version. */
async function introduceAll({ documents, views, clock }: ProjectorOptions, catalogue: Catalogue): Promise<void> {
  const begun = await Promise.all(views.map(async ({ collection }) => (await documents.checkpoints(collection.name)).some(hasEvents)));
  const others = (await catalogue.load(views)).some(({ revision }) => revision > 0);
  for (const [index, view] of views.entries()) {
    const order = { version: view.version, pace: DEFAULT_PACE, nowMs: clock.now() };
    const isLate = others && begun.includes(true) && begun[index] === false;
    await catalogue.announce(await catalogue.change(view, (entry) => introduce(entry, order, isLate)));
  }
}

function hasEvents({ sequence }: Checkpoint): boolean {
  return sequence > 0;
}

async function removeAbandoned({ documents, views }: ProjectorOptions, entries: readonly ViewGenerations[]): Promise<void> {
  for (const [index, { abandoned }] of entries.entries()) {
    const view = views[index];
    if (view === undefined || abandoned.length === 0) continue;
    await documents.drop(abandoned);
    await dropParked(documents, abandoned);
    await openCatalogue(documents).change(view, (entry) => forgetAbandoned(entry, abandoned));
  }
}

function keptBy(views: readonly Projection[], entries: readonly ViewGenerations[]): readonly Projection[] {
  return views.flatMap((view, index) => keptGenerations(view, entries[index] as ViewGenerations));
}

function namesOf(generations: readonly Projection[]): string {
  return generations.map(({ collection }) => collection.name).join();
}

/**
 * The group of the projectors of one version of the code. Those of different versions share no partitions: each version keeps its own
 * generations in all of them. The group's name is no state, since the checkpoints say where to go on.
 */
export function projectorGroup({ group, views }: Pick<ProjectorOptions, "group" | "views">): string {
  const versions = views.map(({ name, version }) => `${name}.${version}`).join();
  return `${group}.${(murmur2(new TextEncoder().encode(versions)) >>> 0).toString(16).padStart(8, "0")}`;
}

interface ProgressTeller {
  tell(places: readonly AppliedPlace[]): void;
  close(): void;
}

/** Tells those who wait for views how far their live generations are; a notification, repeated soon if it is lost. */
function createProgressTeller({ log, topics, clock }: ProjectorOptions, entries: () => readonly ViewGenerations[]): ProgressTeller {
  const latest = new Map<string, AppliedPlace>();
  let cancelRepeat: Cancel = repeat();
  return {
    tell(places) {
      for (const place of places) latest.set(`${place.partition}/${place.generation.collection.name}`, place);
      publish(places);
    },
    close: () => cancelRepeat(),
  };

  function publish(places: Iterable<AppliedPlace>): void {
    const live = new Set(entries().map((entry) => entry.live.collection));
    const records = [...places]
      .filter(({ generation }) => live.has(generation.collection.name))
      .map(({ generation: { name: view }, partition, sequence }): NewRecord => {
        const value = create(ViewProgressSchema, { view, partition, sequence: BigInt(sequence) });
        return { topic: topics.progress.name, partition: 0, key: view, value: toBinary(ViewProgressSchema, value) };
      });
    if (records.length > 0) log.append(records).catch(() => undefined);
  }

  function repeat(): Cancel {
    return clock.after(REPEAT_PROGRESS_MS, () => {
      publish(latest.values());
      cancelRepeat = repeat();
    });
  }
}
