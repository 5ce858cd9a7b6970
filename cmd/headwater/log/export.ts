import { createWriteStream, existsSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { ConfigError, flag, flagOnly, integer } from "../../../internal/platform/config.ts";
import { systemOptions } from "../../../internal/process/options.ts";
import { command } from "../command.ts";
import { confirm, yesOption } from "../confirm.ts";
import { printError } from "../printable.ts";
import { startProgressLine } from "../progress-bar.ts";
import { openLog, type SystemValues } from "../system/open.ts";
import { exportLog } from "./backup/export-log.ts";
import type { Footer } from "./backup/format.ts";

const options = {
  settled: flagOnly(flag("for a move: wait until all commands are decided, and fail if one comes meanwhile")),
  wait: flagOnly(integer("for how many seconds to wait for what must be there first", 0, 86_400, 30)),
  ...yesOption,
  ...systemOptions,
};

export const exportCommand = command({
  name: "log export",
  about: "all events, all state and the dead letters, as a file of JSON lines",
  takes: "<file, or - for the output>",
  details: `For a backup, while the system works: each order is as it was at one moment, with all its events and answers up to there. And to move a log to
another place or to the other form of the system: stop what sends commands, and say --settled, so that nothing is left behind. Documents are not
in the file: they are built from the events. Its last line is a checksum.`,
  options,
  async run({ values, positionals }) {
    const [file, ...others] = positionals;
    if (file === undefined || others.length > 0) throw new ConfigError("name one file, or - for the output");
    if (file === "-") return writeTo(process.stdout, values);
    if (existsSync(file) && !(await confirm(`${file} is there already. Replace it?`, values))) return 1;
    const partial = `${file}.partial`;
    const output = createWriteStream(partial, { flush: true });
    // What fails is told by the next write, or by the end.
    output.on("error", () => undefined);
    try {
      const code = await writeTo(output, values);
      await finished(output.end());
      await rename(partial, file);
      return code;
    } catch (error) {
      output.destroy();
      await rm(partial, { force: true });
      throw error;
    }
  },
});

async function writeTo(output: Writable, values: SystemValues & { readonly settled: boolean; readonly wait: number }): Promise<number> {
  await using log = await openLog(values);
  using progress = startProgressLine(process.stderr);
  const onWait = (waiting: number): void => progress.show({ done: 0, all: waiting, unit: "commands", note: "they must be decided first" });
  const { records, later } = await exportLog({
    log,
    output,
    settled: values.settled,
    patience: { deadlineMs: Date.now() + values.wait * 1_000, onWait },
    onProgress: (done, all) => progress.show({ done, all, unit: "records" }),
  });
  printError(`exported ${countsText(records)} of the log ${log.id}\n`);
  if (later > 0)
    printError(`${later.toLocaleString("en")} commands are not in it: they were not decided when their partition was written\n`);
  return 0;
}

export function countsText(records: Footer["records"]): string {
  const counts = Object.entries(records).map(([topic, count]) => `${count.toLocaleString("en")} records of ${topic}`);
  return counts.length === 0 ? "nothing" : counts.join(", ");
}
