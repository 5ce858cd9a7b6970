/** What may become of a view's generations: pure changes of its entry in the catalogue, each refused where it does not fit. */

import { GapError, REBUILD } from "./gap.ts";
import { type Build, type FollowedStream, type Generation, GenerationsError, type ViewGenerations } from "./generations.ts";

/** The share of its time that a build works unless it is told otherwise, in percent: as much as it leaves. */
export const DEFAULT_PACE = 50;

/** What a build begins with. */
export interface BuildOrder {
  /** The version of the code that builds. */
  readonly version: number;
  readonly pace: number;
  readonly nowMs: number;
}

/** Begins a build beside the live generation. One that failed makes way for it. */
export function startBuild(entry: ViewGenerations, { version, pace, nowMs }: BuildOrder): ViewGenerations {
  const { view, building, builds } = entry;
  if (building !== undefined && building.state !== "failed") {
    throw new GenerationsError(
      `${view} is being built already (${building.collection}, ${building.state}); let it finish, resume it or cancel it`,
    );
  }
  const collection = `${view}.v${version}.b${builds + 1}`;
  const build: Build = { collection, version, state: "building", pace, startedAtMs: nowMs, note: "" };
  return { ...abandoning(entry, building), building: build, builds: builds + 1 };
}

/**
 * What code of a version does when it starts: a newer one builds its own generation, unless somebody does so already. A view that comes late,
 * to others that have events already, is built like a newer version of one that shows nothing: the others do not wait for it.
 */
export function introduce(entry: ViewGenerations, order: BuildOrder, isLate = false): ViewGenerations {
  if (entry.revision === 0 && isLate) return startBuild({ ...entry, live: { collection: `${entry.view}.v0`, version: 0 } }, order);
  const isNewer = entry.live.version < order.version && (entry.building?.version ?? 0) < order.version;
  if (isNewer) return startBuild(abandonBuild(entry), order);
  return entry.revision === 0 ? { ...entry } : entry;
}

/**
 * Notes which stream a view follows.
 *
 * @throws {GapError} it follows another: its documents are not those of this stream
 */
export function follow(entry: ViewGenerations, stream: FollowedStream): ViewGenerations {
  const [known] = entry.streams;
  if (known === undefined) return { ...entry, streams: [stream] };
  if (known.id !== stream.id) {
    throw new GapError(
      `the view ${entry.view} follows another stream of events (${known.id}, and ${stream.topic} of the log is ${stream.id}): ${REBUILD}`,
    );
  }
  if (known.partitions !== stream.partitions) {
    throw new GapError(
      `the view ${entry.view} follows ${known.partitions} partitions of ${known.topic}, and the log has ${stream.partitions}: partitions must not be added, since keys then lie in others; move the events into new topics with headwater log export and import`,
    );
  }
  return entry;
}

/** Holds the build. */
export function stopBuild(entry: ViewGenerations): ViewGenerations {
  const building = buildOf(entry);
  return building.state === "stopped" ? entry : { ...entry, building: { ...building, state: "stopped", note: "" } };
}

/** Lets it go on, also after it failed: what failed is tried again. */
export function resumeBuild(entry: ViewGenerations, pace: number | undefined): ViewGenerations {
  const building = buildOf(entry);
  return { ...entry, building: { ...building, state: "building", note: "", pace: pace ?? building.pace } };
}

/** Gives the build up. */
export function cancelBuild(entry: ViewGenerations): ViewGenerations {
  buildOf(entry);
  return abandonBuild(entry);
}

/** Notes how a build stands; nothing if it is not this one any more, or was stopped meanwhile. */
export function noteBuild(entry: ViewGenerations, collection: string, change: Pick<Build, "state" | "note">): ViewGenerations {
  const { building } = entry;
  if (building?.collection !== collection || building.state === "stopped") return entry;
  if (building.state === change.state && building.note === change.note) return entry;
  return { ...entry, building: { ...building, ...change } };
}

/** Puts the build into the live one's place, which becomes the one to go back to. Nothing if it is not this one any more. */
export function switchToBuild(entry: ViewGenerations, collection: string): ViewGenerations {
  const { building, live, previous, ...rest } = entry;
  if (building?.collection !== collection || building.state === "stopped") return entry;
  return { ...abandoning(rest, previous), live: generationOf(building), previous: live };
}

/** Goes back to the generation before. */
export function rollBack({ live, previous, ...rest }: ViewGenerations, version: number): ViewGenerations {
  if (previous === undefined) throw new GenerationsError(`${rest.view} has no generation to go back to`);
  if (previous.version !== version) {
    throw new GenerationsError(
      `${previous.collection} was made by version ${previous.version} of ${rest.view}, and this code is version ${version}: deploy that version's projectors first, or rebuild`,
    );
  }
  return { ...rest, live: previous, previous: live };
}

/** Gives the generation before up. */
export function dropPrevious({ previous, ...rest }: ViewGenerations): ViewGenerations {
  if (previous === undefined) throw new GenerationsError(`${rest.view} has no generation but the live one`);
  return abandoning(rest, previous);
}

/** Notes that abandoned collections are gone; nothing if another has noted it. */
export function forgetAbandoned(entry: ViewGenerations, removed: readonly string[]): ViewGenerations {
  if (!entry.abandoned.some((collection) => removed.includes(collection))) return entry;
  return { ...entry, abandoned: entry.abandoned.filter((collection) => !removed.includes(collection)) };
}

function buildOf({ view, building }: ViewGenerations): Build {
  if (building === undefined) throw new GenerationsError(`${view} is not being built`);
  return building;
}

function abandonBuild({ building, ...rest }: ViewGenerations): ViewGenerations {
  return abandoning(rest, building);
}

function abandoning<Entry extends Pick<ViewGenerations, "abandoned">>(entry: Entry, generation: Generation | undefined): Entry {
  return generation === undefined ? entry : { ...entry, abandoned: [...entry.abandoned, generation.collection] };
}

function generationOf({ collection, version }: Generation): Generation {
  return { collection, version };
}
