import { flag, flagOnly } from "../../../internal/platform/config.ts";
import { systemOptions } from "../../../internal/process/options.ts";
import { ageOf } from "../age.ts";
import { command, jsonOption } from "../command.ts";
import { print } from "../printable.ts";
import { openLog } from "../system/open.ts";
import { table } from "../table.ts";
import { type DescribedLetter, describeLetter } from "./describe.ts";
import { loadLetters } from "./letters.ts";

export const list = command({
  name: "dead-letters list",
  about: "the commands that could not be decoded or decided, the oldest first",
  options: { all: flagOnly(flag("also those that were retried or skipped")), ...jsonOption, ...systemOptions },
  async run({ values }) {
    await using log = await openLog(values);
    const letters = await loadLetters(log, log.partitions);
    const wanted = letters.filter(({ resolution }) => values.all || resolution === undefined);
    const described = wanted.toSorted((a, b) => a.foundAtMs - b.foundAtMs).map(describeLetter);
    if (values.json) print(`${JSON.stringify(described, null, 2)}\n`);
    else print(described.length === 0 ? "no dead letters\n" : lettersTable(described, Date.now()));
    return 0;
  },
});

export function lettersTable(letters: readonly DescribedLetter[], nowMs: number): string {
  const rows = letters.map(({ id, state, foundAt, key, command: name, error, resolution }) => {
    const { actor, reason } = resolution ?? { actor: "", reason: "" };
    return [id, state, ageOf(Date.parse(foundAt), nowMs), key, name, error, actor, reason];
  });
  const isPlain = letters.every(({ resolution }) => resolution === undefined);
  const headings = ["id", "state", "age", "key", "command", "error", "by", "why"];
  const columns = isPlain ? headings.length - 2 : headings.length;
  return table(
    headings.slice(0, columns),
    rows.map((row) => row.slice(0, columns)),
  );
}
