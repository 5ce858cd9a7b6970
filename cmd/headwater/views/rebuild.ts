import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { type EventsOptions, lastEvent } from "../../../internal/cqrs/event/event-lag.ts";
import type { Projection } from "../../../internal/cqrs/projection.ts";
import { startBuild } from "../../../internal/cqrs/projector/generation-changes.ts";
import { type Build, openCatalogue, type ViewGenerations } from "../../../internal/cqrs/projector/generations.ts";
import { OrderEventSchema } from "../../../internal/gen/headwater/orders/v1/order_event_pb.ts";
import { flag, flagOnly } from "../../../internal/platform/config.ts";
import { systemOptions } from "../../../internal/process/options.ts";
import { command, jsonOption } from "../command.ts";
import { confirm, yesOption } from "../confirm.ts";
import { orderTopics } from "../domain.ts";
import { print } from "../printable.ts";
import { startProgressLine } from "../progress-bar.ts";
import { openSystem, type System } from "../system/open.ts";
import { paceOption } from "./pace.ts";
import { generationsOf, viewNamed } from "./view.ts";

const LOOK_EVERY_MS = 250;

/** A build that nobody works on does not move. */
const STILL_AFTER_MS = 10_000;

export const rebuild = command({
  name: "views rebuild",
  about: "build a view anew beside the one that is read, and read it when it is complete and verified",
  takes: "<view>",
  details: `The projectors do it; this command shows how far they are, also of a rebuild that is under way. Ctrl+C leaves them at it.`,
  options: { ...paceOption, "no-wait": flagOnly(flag("do not stay to see it done")), ...yesOption, ...jsonOption, ...systemOptions },
  async run({ values, positionals }) {
    const view = viewNamed(positionals);
    await using system = await openSystem(values);
    const isToBegin = !isUnderWay(await generationsOf(system.documents, view));
    if (isToBegin && !(await confirm(`Build all of ${view.name} again? Until it is read it takes its room twice.`, values))) return 1;
    const build = await underWay(system, view, values.pace);
    const done = values["no-wait"] ? build : await untilOver(system, view, build);
    const entry = await generationsOf(system.documents, view);
    const { code, text } = verdict(entry, done);
    if (values.json) print(`${JSON.stringify(entry, null, 2)}\n`);
    else (code === 0 ? process.stdout : process.stderr).write(`${text}\n`);
    return code;
  },
});

/** The build there is, or a new one. */
async function underWay({ documents }: System, view: Projection, pace: number): Promise<Build> {
  const order = { version: view.version, pace, nowMs: Date.now() };
  const { building } = await openCatalogue(documents).change(view, (entry) => (isUnderWay(entry) ? entry : startBuild(entry, order)));
  if (building === undefined) throw new Error(`the rebuild of ${view.name} has not begun`);
  return building;
}

function isUnderWay({ building }: ViewGenerations): boolean {
  return building?.state === "building" || building?.state === "verifying";
}

/** Shows how far a build is until it is over, or until Ctrl+C; then it is as it was seen last. */
async function untilOver(system: System, view: Projection, build: Build): Promise<Build> {
  const events: EventsOptions = { log: system.log, topic: orderTopics.events.name, schema: OrderEventSchema };
  const lasts = await Promise.all(Array.from({ length: system.log.partitions }, (_, partition) => lastEvent(events, partition)));
  const all = lasts.reduce((sum, last) => sum + (last?.sequence ?? 0), 0);
  const interrupted = once(process, "SIGINT").then(() => true);
  using line = startProgressLine(process.stderr);
  let [seen, done, movedAtMs] = [build, -1, Date.now()];
  for (;;) {
    const { building } = await generationsOf(system.documents, view);
    if (building?.collection !== build.collection) return seen;
    seen = building;
    if (building.state === "failed" || building.state === "stopped") return seen;
    const checkpoints = await system.documents.checkpoints(build.collection);
    const applied = checkpoints.reduce((sum, { sequence }) => sum + sequence, 0);
    if (applied > done || building.state === "verifying") [done, movedAtMs] = [applied, Date.now()];
    const isStill = Date.now() - movedAtMs > STILL_AFTER_MS && building.note === "";
    const note = isStill
      ? "nothing moves: is a projector running?"
      : `${building.state}${building.note === "" ? "" : `: ${building.note}`}`;
    line.show({ done: applied, all: Math.max(all, applied), unit: "events", note });
    if (await Promise.race([interrupted, delay(LOOK_EVERY_MS)])) return seen;
  }
}

function verdict({ view, live, building }: ViewGenerations, { collection }: Build): { readonly code: number; readonly text: string } {
  if (live.collection === collection) return { code: 0, text: `${view} is read from ${collection} now` };
  if (building?.collection !== collection) return { code: 1, text: `the rebuild of ${view} was given up` };
  switch (building.state) {
    case "failed":
      return { code: 1, text: `the rebuild of ${view} has failed: ${building.note}` };
    case "stopped":
      return { code: 1, text: `the rebuild of ${view} is held; headwater views resume ${view} lets it go on` };
    case "building":
    case "verifying":
      return { code: 0, text: `the rebuild of ${view} goes on; headwater views rebuild ${view} shows how far it is` };
  }
}
