import { listParked, type ParkedKey } from "../../../internal/cqrs/projector/parking.ts";
import { flag, flagOnly } from "../../../internal/platform/config.ts";
import { systemOptions } from "../../../internal/process/options.ts";
import { ageOf } from "../age.ts";
import { command, jsonOption } from "../command.ts";
import { print } from "../printable.ts";
import { openSystem } from "../system/open.ts";
import { table } from "../table.ts";

export const list = command({
  name: "parked list",
  about: "what waits, since when, why, and how much behind it; the longest waiting first",
  options: { all: flagOnly(flag("also what was retried, skipped or dropped with its generation")), ...jsonOption, ...systemOptions },
  async run({ values }) {
    await using system = await openSystem(values);
    const entries = await listParked(system.documents, { all: values.all });
    print(values.json ? `${JSON.stringify(entries, null, 2)}\n` : toTable(entries));
    return 0;
  },
});

function toTable(entries: readonly ParkedKey[]): string {
  if (entries.length === 0) return "nothing is parked\n";
  const rows = entries.map(({ view, collection, scope, key, event, depth, parkedAtMs, state, error }) => [
    view,
    collection,
    `${scope} ${key}`,
    event.sequence === 0 ? event.offset : event.sequence,
    depth,
    ageOf(parkedAtMs),
    state,
    error,
  ]);
  return table(["view", "generation", "key", "event", "waiting", "age", "state", "reason"], rows);
}
