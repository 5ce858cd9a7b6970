import type { Projection } from "../../../internal/cqrs/projection.ts";
import { inGeneration } from "../../../internal/cqrs/projector/generations.ts";
import { type Verification, verifyView } from "../../../internal/cqrs/projector/verify-view.ts";
import { orderEvents } from "../../../internal/orders/order-events.ts";
import { flag, flagOnly } from "../../../internal/platform/config.ts";
import { systemOptions } from "../../../internal/process/options.ts";
import { command, jsonOption } from "../command.ts";
import { orderTopics } from "../domain.ts";
import { print } from "../printable.ts";
import { startProgressLine } from "../progress-bar.ts";
import { openSystem, type System } from "../system/open.ts";
import { table } from "../table.ts";
import { generationsOf, viewsNamed } from "./view.ts";

export const verify = command({
  name: "views verify",
  about: "compare documents with a fold of their events from the first on, while the system runs",
  takes: "[view ...]",
  details: `Without --all it takes a sample of ten to twenty thousand documents of each view, which is all of them where there are fewer. Documents that
no event belongs to are found when all are compared. It ends with 1 if a document is not what its events make of it.`,
  options: { all: flagOnly(flag("all documents; the events are read once for every twenty thousand")), ...jsonOption, ...systemOptions },
  async run({ values, positionals }) {
    const views = viewsNamed(positionals);
    await using system = await openSystem(values);
    const found: Verified[] = [];
    for (const view of views) found.push(await verifyOne(system, view, values.all));
    print(values.json ? `${JSON.stringify(found, null, 2)}\n` : toText(found));
    return found.every(({ mismatches }) => mismatches.length === 0) ? 0 : 1;
  },
});

interface Verified extends Verification {
  readonly view: string;
  readonly collection: string;
}

async function verifyOne({ log, documents }: System, view: Projection, all: boolean): Promise<Verified> {
  const { live } = await generationsOf(documents, view);
  if (live.version !== view.version) {
    throw new Error(`${live.collection} was made by version ${live.version} of ${view.name}, and this code is version ${view.version}`);
  }
  const generation = inGeneration(view, live);
  const events = (await documents.checkpoints(live.collection)).reduce((sum, { sequence }) => sum + sequence, 0);
  let read = 0;
  using line = startProgressLine(process.stderr);
  const onEvents = (count: number): void => {
    read += count;
    line.show({ done: read, all: Math.max(events, read), unit: "events", note: view.name });
  };
  const source = { log, documents, events: orderEvents, topics: orderTopics, signal: new AbortController().signal };
  return { view: view.name, collection: live.collection, ...(await verifyView({ ...source, view: generation, all, onEvents })) };
}

function toText(found: readonly Verified[]): string {
  const rows = found.map(({ view, collection, documents, passes, mismatches }) => [view, collection, documents, passes, mismatches.length]);
  const problems = found.flatMap(({ view, mismatches }) => mismatches.map(({ id, problem }) => `${view} ${id}: ${problem}\n`));
  return `${table(["view", "generation", "documents", "passes", "wrong"], rows)}${problems.length === 0 ? "" : `\n${problems.join("")}`}`;
}
