/** Follows the catalogue with the builds of this projector: what is to be built is being built, and nothing else. */

import { type Bell, createBell } from "../bell.ts";
import { DocumentsSetBackError } from "../documents.ts";
import type { Projection } from "../projection.ts";
import { type BuildEngine, runBuild } from "./build-generation.ts";
import { type Build, inGeneration, openCatalogue, type ViewGenerations } from "./generations.ts";

/** The builds that run in this projector. */
export interface Builds {
  /** Starts what is to be built, and stops what is not any more; resolves when that has stopped. */
  follow(entries: readonly ViewGenerations[]): Promise<void>;
  /** To be rung when somebody has asked for something of a parked key. */
  requests(): readonly Bell[];
  /** Rejects when a build fails in a way that ends the projector; never resolves. */
  readonly failed: Promise<never>;
  /** Waits until all have stopped, after the signal. */
  stopped(): Promise<void>;
}

/** Creates none yet. */
export function createBuilds(options: BuildEngine & { readonly views: readonly Projection[] }): Builds {
  /** By collection and pace: another pace is another run. */
  const running = new Map<string, { readonly stop: AbortController; readonly stopped: Promise<void>; readonly requests: Bell }>();
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  const catalogue = openCatalogue(options.documents);
  const isBuilt = async (view: Projection, { collection }: Build): Promise<boolean> =>
    (await catalogue.load([view])).some(({ building, live }) => [building, live].some((each) => each?.collection === collection));
  return {
    async follow(entries) {
      const wanted = new Map<string, { readonly view: Projection; readonly building: Build }>(
        entries.flatMap(({ building }, index) => {
          const view = options.views[index];
          if (view === undefined || building?.version !== view.version) return [];
          if (building.state !== "building" && building.state !== "verifying") return [];
          return [[`${building.collection} ${building.pace}`, { view, building }] as const];
        }),
      );
      const ending = [...running].filter(([key]) => !wanted.has(key));
      for (const [, { stop }] of ending) stop.abort();
      await Promise.all(ending.map(([, { stopped }]) => stopped));
      for (const [key] of ending) running.delete(key);
      for (const [key, { view, building }] of wanted) {
        if (running.has(key)) continue;
        const stop = new AbortController();
        const signal = AbortSignal.any([options.signal, stop.signal]);
        const build = { view, generation: inGeneration(view, building), pace: building.pace };
        const requests = createBell();
        const stopped = runBuild({ ...options, signal, requests }, build).catch(async (error: unknown) => {
          // One that was given up has lost its collection under its hands, maybe before the news of it.
          if (signal.aborted || (error instanceof DocumentsSetBackError && !(await isBuilt(view, building).catch(() => true)))) return;
          failed.reject(error);
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
