/**
 * The read side's engine: keeps the generations of all views up to date, and builds those that are to take a live one's place beside them. The
 * catalogue of generations says which; it is followed while this runs.
 */

import { create, toBinary } from "@bufbuild/protobuf";
import { ViewProgressSchema } from "../gen/headwater/cqrs/v1/command_pb.ts";
import { type Bell, createBell } from "./bell.ts";
import { type BuildEngine, runBuild } from "./build-generation.ts";
import type { Cancel } from "./clock.ts";
import type { Checkpoint } from "./documents.ts";
import { DEFAULT_PACE, forgetAbandoned, introduce } from "./generation-changes.ts";
import {
  announcedView,
  type Build,
  generationsCollection,
  inGeneration,
  keptGenerations,
  openCatalogue,
  type ViewGenerations,
} from "./generations.ts";
import { type AppliedPlace, keepGenerations } from "./keep-generations.ts";
import type { NewRecord } from "./log.ts";
import { dropParked, isParkedRequest, parkedCollection } from "./parking.ts";
import { murmur2 } from "./partition.ts";
import type { Projection } from "./projection.ts";

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
  const { documents, views, clock, signal } = options;
  const catalogue = openCatalogue(documents);
  await documents.prepare([generationsCollection, parkedCollection]);
  for (const view of views) {
    const order = { version: view.version, pace: DEFAULT_PACE, nowMs: clock.now() };
    await catalogue.announce(await catalogue.change(view, (entry) => introduce(entry, order)));
  }
  const ended = new AbortController();
  const following = AbortSignal.any([signal, ended.signal]);
  const [news, changes, requests] = [createBell(), createBell(), createBell()];
  const notice = (checkpoints: readonly Checkpoint[]): void => {
    if (checkpoints.some((checkpoint) => announcedView(checkpoint) !== undefined)) news.ring();
    if (checkpoints.some(isParkedRequest)) for (const bell of [requests, ...builds.requests()]) bell.ring();
  };
  const builds = createBuilds({ ...options, signal: following });
  await documents.watchCheckpoints(notice, following);
  let entries = await catalogue.load(views);
  await prepare(options, entries);
  const progress = createProgressTeller(options, () => entries);
  builds.follow(entries);
  const tasks = [
    builds.failed,
    followCatalogue(),
    keepGenerations({
      ...options,
      group: projectorGroup(options),
      signal: following,
      generations: () => views.flatMap((view, index) => keptGenerations(view, entries[index] as ViewGenerations)),
      changes,
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
      const before = keptNames(views, entries);
      entries = await catalogue.load(views);
      await prepare(options, entries);
      builds.follow(entries);
      if (keptNames(views, entries) !== before) changes.ring();
    }
  }
}

/** Creates what is kept and removes what was given up. */
async function prepare({ documents, views }: ProjectorOptions, entries: readonly ViewGenerations[]): Promise<void> {
  const kept = views.flatMap((view, index) => keptGenerations(view, entries[index] as ViewGenerations));
  await documents.prepare(kept.map(({ collection }) => collection));
  for (const [index, { abandoned }] of entries.entries()) {
    const view = views[index];
    if (view === undefined || abandoned.length === 0) continue;
    await documents.drop(abandoned);
    await dropParked(documents, abandoned);
    await openCatalogue(documents).change(view, (entry) => forgetAbandoned(entry, abandoned));
  }
}

function keptNames(views: readonly Projection[], entries: readonly ViewGenerations[]): string {
  return views
    .flatMap((view, index) => keptGenerations(view, entries[index] as ViewGenerations))
    .map(({ collection }) => collection.name)
    .join();
}

/**
 * The group of the projectors of one version of the code. Those of different versions share no partitions: each version keeps its own
 * generations in all of them. The group's name is no state, since the checkpoints say where to go on.
 */
export function projectorGroup({ group, views }: Pick<ProjectorOptions, "group" | "views">): string {
  const versions = views.map(({ name, version }) => `${name}.${version}`).join();
  return `${group}.${(murmur2(new TextEncoder().encode(versions)) >>> 0).toString(16).padStart(8, "0")}`;
}

interface Builds {
  /** Starts what is to be built, and stops what is not any more. */
  follow(entries: readonly ViewGenerations[]): void;
  /** To be rung when somebody has asked for something of a parked key. */
  requests(): readonly Bell[];
  /** Rejects when a build fails in a way that ends the projector; never resolves. */
  readonly failed: Promise<never>;
  /** Waits until all have stopped, after the signal. */
  stopped(): Promise<void>;
}

function createBuilds(options: ProjectorOptions): Builds {
  /** By collection and pace: another pace is another run. */
  const running = new Map<string, { readonly stop: AbortController; readonly stopped: Promise<void>; readonly requests: Bell }>();
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  return {
    follow(entries) {
      const wanted = new Map<string, { readonly view: Projection; readonly building: Build }>(
        entries.flatMap(({ building }, index) => {
          const view = options.views[index];
          if (view === undefined || building?.version !== view.version) return [];
          if (building.state !== "building" && building.state !== "verifying") return [];
          return [[`${building.collection} ${building.pace}`, { view, building }] as const];
        }),
      );
      for (const [key, { stop }] of running) {
        if (wanted.has(key)) continue;
        stop.abort();
        running.delete(key);
      }
      for (const [key, { view, building }] of wanted) {
        if (running.has(key)) continue;
        const stop = new AbortController();
        const signal = AbortSignal.any([options.signal, stop.signal]);
        const build = { view, generation: inGeneration(view, building), pace: building.pace };
        const requests = createBell();
        const stopped = runBuild({ ...options, signal, requests }, build).catch((error: unknown) => {
          // One that was given up has lost its collection under its hands.
          if (!signal.aborted) failed.reject(error);
        });
        running.set(key, { stop, stopped, requests });
      }
    },
    requests: () => [...running.values()].map(({ requests }) => requests),
    failed: failed.promise,
    async stopped() {
      await Promise.all([...running.values()].map(({ stopped }) => stopped));
    },
  };
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
