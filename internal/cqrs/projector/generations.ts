/**
 * The generations of a view: the collection that queries read, the one they read before, and the one that is being built to take its place.
 * Each change is one guarded write of one document, so all processes see the same before and after it (P6).
 */

import { type Checkpoint, type Collection, type Documents, loadAll, NEWS } from "../documents.ts";
import type { Stream } from "../positions.ts";
import type { Projection } from "../projection.ts";
import { entryFromFields, fieldsFromEntry } from "./stored-generations.ts";

/** Where the catalogue lies. Its name is state. */
const GENERATIONS = "generations";

/** The catalogue, to be prepared by whoever writes to it. */
export const generationsCollection: Collection = { name: GENERATIONS, indexes: [] };

/** One build of a view: a collection that one version of the code keeps. */
export interface Generation {
  readonly collection: string;
  /** The version of the projection that made it. */
  readonly version: number;
}

/** How a build stands. */
export type BuildState =
  /** It folds all events, then follows. */
  | "building"
  /** It has caught up, and a part of its documents is folded anew to compare. */
  | "verifying"
  /** It waits for somebody to resume it. */
  | "stopped"
  /** It cannot take the live one's place; `note` says why. */
  | "failed";

/** A generation that is being built. */
export interface Build extends Generation {
  readonly state: BuildState;
  /** The share of its time that it works, in percent: it rests for the others. */
  readonly pace: number;
  /** In milliseconds since 1970. */
  readonly startedAtMs: number;
  /** What there is to say of its state; empty if nothing. */
  readonly note: string;
}

/** A stream that a view follows. */
export interface FollowedStream extends Stream {
  /** The name of its events topic. */
  readonly topic: string;
}

/** The catalogue's entry of a view. */
export interface ViewGenerations {
  readonly view: string;
  /** The revision of the entry; 0 if there is none yet. */
  readonly revision: number;
  /** What its generations follow; none before a projector has written it. */
  readonly streams: readonly FollowedStream[];
  /** What queries read. */
  readonly live: Generation;
  /** What they read before; it is kept up to date, to go back to. */
  readonly previous?: Generation;
  readonly building?: Build;
  /** Abandoned collections that are still to be removed. */
  readonly abandoned: readonly string[];
  /** Counts the builds, so that no collection's name is used twice. */
  readonly builds: number;
}

/** What was asked for does not fit how the view's generations stand; the message says what to do. */
export class GenerationsError extends Error {
  override readonly name = "GenerationsError";
}

/** The catalogue of all views. */
export interface Catalogue {
  /** The entries of views, in their order; of one without an entry, what it begins with. */
  load(views: readonly Projection[]): Promise<readonly ViewGenerations[]>;
  /**
   * Changes a view's entry, on top of whatever others have changed. Nothing is written if the change returns what it was given.
   *
   * @throws {GenerationsError} from `change`: it does not fit
   */
  change(view: Projection, change: (entry: ViewGenerations) => ViewGenerations): Promise<ViewGenerations>;
  /** Tells everybody who watches the checkpoints of an entry, once more. */
  announce(entry: ViewGenerations): Promise<void>;
}

/** Somebody else's change comes in between at most so often. */
const MAX_ATTEMPTS = 50;

/** Opens the catalogue in the documents. */
export function openCatalogue(documents: Pick<Documents, "load" | "write">): Catalogue {
  const load: Catalogue["load"] = async (views) => {
    const found = await loadAll(
      documents,
      GENERATIONS,
      views.map(({ name }) => name),
    );
    return views.map((view, index) => {
      const stored = found[index];
      return stored === undefined ? beginning(view) : entryFromFields(stored.fields, stored.revision);
    });
  };
  return {
    load,
    async change(view, change) {
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
        const [before = beginning(view)] = await load([view]);
        const after = change(before);
        if (after === before) return before;
        const changed = { ...after, revision: before.revision + 1 };
        const write = {
          collection: GENERATIONS,
          id: view.name,
          expectedRevision: before.revision,
          applied: {},
          fields: fieldsFromEntry(after),
        };
        const conflicts = await documents.write([write], [announcement(changed)]);
        if (conflicts.length === 0) return changed;
      }
      throw new Error(`the generations of ${view.name} kept changing`);
    },
    announce: async (entry) => {
      await documents.write([], [announcement(entry)]);
    },
  };
}

/** The view whose entry has changed, if that is what a checkpoint tells. */
export function announcedView({ collection }: Checkpoint): string | undefined {
  return collection.startsWith(ANNOUNCED) ? collection.slice(ANNOUNCED.length) : undefined;
}

/** A view's entry before anybody has written one. */
function beginning(view: Projection): ViewGenerations {
  const live = { collection: view.collection.name, version: view.version };
  return { view: view.name, revision: 0, streams: [], live, abandoned: [], builds: 0 };
}

/** The collections of a view's generations. */
export function collectionsOf({ live, previous, building }: ViewGenerations): readonly string[] {
  return [live, previous, building].flatMap((generation) => generation?.collection ?? []);
}

/** A view as it is kept in one of its generations. */
export function inGeneration(view: Projection, { collection }: Generation): Projection {
  return collection === view.collection.name ? view : { ...view, collection: { ...view.collection, name: collection } };
}

/** The generations that code of this version keeps up to date. */
export function keptGenerations(view: Projection, { live, previous }: ViewGenerations): readonly Projection[] {
  return [live, previous].filter((each) => each?.version === view.version).map((each) => inGeneration(view, each as Generation));
}

/** The name of a checkpoint that tells of an entry's change: whoever watches checkpoints watches the catalogue. */
const ANNOUNCED = `${NEWS}${GENERATIONS}/`;

function announcement({ view, revision }: ViewGenerations): Checkpoint {
  const position = { partition: 0, nextOffset: revision, sequence: revision, eventTimeMs: 0, proof: "" };
  return { ...position, collection: ANNOUNCED + view, stream: GENERATIONS };
}
