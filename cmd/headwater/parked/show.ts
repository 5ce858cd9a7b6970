import type { ParkedKey } from "../../../internal/cqrs/projector/parking.ts";
import { ConfigError } from "../../../internal/platform/config.ts";
import { systemOptions } from "../../../internal/process/options.ts";
import { ageOf } from "../age.ts";
import { command, jsonOption } from "../command.ts";
import { print } from "../printable.ts";
import { openSystem } from "../system/open.ts";
import { findParked } from "./find.ts";

export const show = command({
  name: "parked show",
  about: "one key, with what was done about it",
  takes: "<view> <key>",
  options: { ...jsonOption, ...systemOptions },
  async run({ values, positionals }) {
    if (positionals.length !== 2) throw new ConfigError("name a view and a key, as headwater parked list shows them");
    await using system = await openSystem(values);
    const found = await findParked(system.documents, positionals, { all: true });
    print(values.json ? `${JSON.stringify(found, null, 2)}\n` : found.map(toText).join("\n"));
    return 0;
  },
});

function toText(entry: ParkedKey): string {
  const { collection, partition, scope, key, state, event, error, depth, parkedAtMs, answers } = entry;
  const lines = [
    `${scope} ${key} of ${collection}: ${state} ${ageOf(parkedAtMs)} ago`,
    `  event      ${event.sequence} of partition ${partition}, at offset ${event.offset}, of ${event.aggregateId}`,
    `  reason     ${error}`,
    `  waiting    ${depth} ${depth === 1 ? "event" : "events"}`,
    ...answers.map(
      ({ action, atMs, by, reason, sequence, error: failure }) =>
        `  ${new Date(atMs).toISOString()}  ${by}: ${action} event ${sequence}${reason === "" ? "" : `, ${reason}`}: ${failure === "" ? "done" : failure}`,
    ),
    ...(state === "parked" ? [`  look into it with: headwater log tail --partition ${partition} --from ${event.offset} --limit 1`] : []),
  ];
  return `${lines.join("\n")}\n`;
}
