import { flagOnly, integer } from "../../../internal/platform/config.ts";
import { systemOptions } from "../../../internal/process/options.ts";
import { command, jsonOption } from "../command.ts";
import { print } from "../printable.ts";
import { openDocuments, openLog } from "../system/open.ts";
import { type Cell, table } from "../table.ts";
import { measure, type Status } from "./measure.ts";

const options = {
  sample: flagOnly(integer("for how many seconds to count commands and events; 0 for no rates", 0, 3_600, 1)),
  ...jsonOption,
  ...systemOptions,
};

export const status = command({
  name: "status",
  about: "how far commands, events and views are, and who works on them",
  details: `Waiting commands are in the log and not decided yet. The lag of a partition is that of the view that is farthest behind there: how many events
it does not show, and how long ago the oldest of them was written. It ends with 1 if the documents cannot be reached, or are not those of the log.`,
  options,
  async run({ values }) {
    await using log = await openLog(values);
    const measured = await measure({ log, openDocuments: () => openDocuments(values), sampleSeconds: values.sample });
    print(values.json ? `${JSON.stringify({ system: values.system, ...measured }, null, 2)}\n` : statusText(measured));
    const isWrong = measured.documentsError !== undefined || measured.views?.some(({ problem }) => problem !== undefined);
    return isWrong ? 1 : 0;
  },
});

const partitionHeadings = ["partition", "waiting", "handler", "events", "lag events", "lag seconds", "projector"];

export function statusText(measured: Status): string {
  const { logId, partitions, views, documentsError, deadLetters, parkedKeys } = measured;
  const rows = partitions.map((row): readonly Cell[] => [
    row.partition,
    row.commandsWaiting,
    row.handler ?? "nobody",
    row.events,
    row.lagEvents ?? "?",
    row.lagSeconds ?? "?",
    row.projector ?? "nobody",
  ]);
  const viewRows = (views ?? []).map(({ view, generation, collection, lagEvents, lagSeconds }) => [
    view,
    generation,
    collection,
    lagEvents,
    lagSeconds,
  ]);
  const sections = [
    `log ${logId}\n${ratesText(measured)}${deadLetters.open} open dead letters, ${deadLetters.closed} closed; ${parkedKeys ?? "?"} parked keys\n`,
    table(partitionHeadings, rows),
    documentsError === undefined
      ? table(["view", "generation", "collection", "lag events", "lag seconds"], viewRows)
      : `no views: ${documentsError}\n`,
    ...(views ?? []).flatMap(({ collection, problem }) => (problem === undefined ? [] : [`problem of ${collection}: ${problem}\n`])),
  ];
  return sections.join("\n");
}

function ratesText({ sampleSeconds, commandsPerSecond, eventsPerSecond }: Status): string {
  if (commandsPerSecond === undefined || eventsPerSecond === undefined) return "";
  const [commands, events] = [commandsPerSecond, eventsPerSecond].map((rate) => rate.toLocaleString("en"));
  return `${commands} commands/s, ${events} events/s over ${sampleSeconds} s\n`;
}
