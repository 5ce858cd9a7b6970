/**
 * The read side's engine: keeps the generations of all views up to date, and builds those that are to take a live one's place beside them. The
 * catalogue of generations says which; it is followed while this runs.
 */

import { createBell } from "../bell.ts";
import { type Checkpoint, NEWS } from "../documents.ts";
import { murmur2 } from "../partition.ts";
import type { Projection } from "../projection.ts";
import { untilAborted } from "../until-aborted.ts";
import type { BuildEngine } from "./build-generation.ts";
import { createBuilds } from "./builds.ts";
import { DEFAULT_PACE, follow, forgetAbandoned, introduce } from "./generation-changes.ts";
import {
  announcedView,
  type Catalogue,
  collectionsOf,
  generationsCollection,
  keptGenerations,
  openCatalogue,
  type ViewGenerations,
} from "./generations.ts";
import { keepGenerations } from "./keep-generations.ts";
import { dropParked, isParkedRequest, parkedCollection } from "./parking.ts";
import { createProgressTeller, type ProgressTopic } from "./progress-teller.ts";

/** What a projector works with. */
export interface ProjectorOptions extends BuildEngine {
  readonly topics: BuildEngine["topics"] & ProgressTopic;
  readonly views: readonly Projection[];
  /** How many events one batch takes at most. Default 1,000. */
  readonly batchEvents?: number;
  /** Told again and again, every few seconds at least, while it is a member of its group and gets on. */
  readonly onProgress?: () => void;
}

/**
 * Runs until the signal aborts.
 *
 * @throws {GapError} the documents are not those of the log, or the partition sequence has a gap
 * @throws {FencedError} another projector has joined under this instance's name: this one must end
 * @throws {LogRefusedError} the log refuses what is read or told, and will refuse it again
 * @throws {DocumentsSetBackError} the documents were removed or set back meanwhile: start again from what is there
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
  const progress = createProgressTeller({ ...options, entries: () => entries });
  await builds.follow(entries);
  let changed = Promise.withResolvers<void>();
  const failures = [builds.failed, progress.refused];
  const tasks = [
    followCatalogue(),
    keepGenerations({
      ...options,
      group: projectorGroup(options),
      signal: following,
      generations: () => keptBy(views, entries),
      changes,
      areGivenUp: async (kept) => namesOf(kept) !== namesOf(keptBy(views, await catalogue.load(views))),
      onChanged: () => changed.resolve(),
      requests,
      onApplied: progress.tell,
      onPartitions: progress.keep,
    }),
  ];
  try {
    await Promise.race([...failures, ...tasks]);
  } finally {
    ended.abort();
    progress.close();
    await Promise.allSettled([...tasks, builds.stopped()]);
  }

  /** Runs until the signal aborts, which never is the end of it: the others end then too. */
  async function followCatalogue(): Promise<void> {
    for (;;) {
      await news.rung(following);
      if (following.aborted) return;
      const former = entries;
      entries = await catalogue.load(views);
      const [before, after] = [keptBy(views, former), keptBy(views, entries)];
      await documents.prepare(after.map(({ collection }) => collection));
      await builds.follow(entries);
      if (namesOf(after) !== namesOf(before)) {
        changed = Promise.withResolvers();
        changes.ring();
        await untilAborted(changed.promise, following);
      }
      // Nobody here writes to them any more. What was written last may have come after another projector removed them.
      await removeAbandoned(options, entries, former);
    }
  }
}

/** Writes down the views that are new to the catalogue, and begins to build those that this code keeps in a newer version. */
async function introduceAll({ log, documents, topics, views, clock }: ProjectorOptions, catalogue: Catalogue): Promise<void> {
  const topic = topics.events.name;
  const stream = { id: log.topicId(topic), topic, partitions: log.partitions };
  const begun = await Promise.all(views.map(async ({ collection }) => (await documents.checkpoints(collection.name)).some(hasEvents)));
  const others = (await catalogue.load(views)).some(({ revision }) => revision > 0);
  for (const [index, view] of views.entries()) {
    const order = { version: view.version, pace: DEFAULT_PACE, nowMs: clock.now() };
    const isLate = others && begun.includes(true) && begun[index] === false;
    await catalogue.announce(await catalogue.change(view, (entry) => introduce(follow(entry, stream), order, isLate)));
  }
}

function hasEvents({ sequence }: Checkpoint): boolean {
  return sequence > 0;
}

/** Removes what is abandoned, and what was there formerly and is no more: each projector behind its own last write to it. */
async function removeAbandoned(
  { documents, views }: ProjectorOptions,
  entries: readonly ViewGenerations[],
  former = entries,
): Promise<void> {
  for (const [index, entry] of entries.entries()) {
    const [view, before] = [views[index], former[index]];
    if (view === undefined || before === undefined) continue;
    const present = collectionsOf(entry);
    const gone = [...new Set([...entry.abandoned, ...collectionsOf(before).filter((collection) => !present.includes(collection))])];
    if (gone.length === 0) continue;
    await documents.drop(gone);
    await dropParked(documents, gone);
    await openCatalogue(documents).change(view, (each) => forgetAbandoned(each, gone));
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
