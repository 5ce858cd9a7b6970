import { openCatalogue, type ViewGenerations } from "../../../internal/cqrs/projector/generations.ts";
import { orderViews } from "../../../internal/orders/projection/views.ts";
import { systemOptions } from "../../../internal/process/options.ts";
import { command, jsonOption } from "../command.ts";
import { print } from "../printable.ts";
import { openSystem } from "../system/open.ts";
import { table } from "../table.ts";

export const list = command({
  name: "views list",
  about: "the views and their generations",
  options: { ...jsonOption, ...systemOptions },
  async run({ values }) {
    await using system = await openSystem(values);
    const entries = await openCatalogue(system.documents).load(orderViews);
    print(values.json ? `${JSON.stringify(entries, null, 2)}\n` : toTable(entries));
    return 0;
  },
});

function toTable(entries: readonly ViewGenerations[]): string {
  const rows = entries.flatMap(({ view, live, previous, building }) => [
    [view, live.collection, "live", ""],
    ...(previous === undefined ? [] : [["", previous.collection, "previous", ""]]),
    ...(building === undefined ? [] : [["", building.collection, building.state, building.note]]),
  ]);
  return table(["view", "generation", "state", "note"], rows);
}
