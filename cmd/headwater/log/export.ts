import { createWriteStream, existsSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { ConfigError, flagOnly, integer } from "../../../internal/platform/config.ts";
import { systemOptions } from "../../../internal/process/options.ts";
import { command } from "../command.ts";
import { confirm, yesOption } from "../confirm.ts";
import { startProgressLine } from "../progress-bar.ts";
import { openLog, type SystemValues } from "../system/open.ts";
import { exportLog } from "./backup/export-log.ts";
import type { Footer } from "./backup/format.ts";

const options = {
  wait: flagOnly(integer("for how many seconds to wait for commands that are not decided yet", 0, 86_400, 30)),
  ...yesOption,
  ...systemOptions,
};

export const exportCommand = command({
  name: "log export",
  about: "all events, all state and the dead letters, as a file of JSON lines",
  takes: "<file, or - for the output>",
  details: `For a backup, and to move a log to another place or to the other form of the system. Documents are not in it: they are built from the events.
While it is written no command may come, or it is refused: stop what sends commands first. The last line of the file is a checksum.`,
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

async function writeTo(output: Writable, values: SystemValues & { readonly wait: number }): Promise<number> {
  await using log = await openLog(values);
  using progress = startProgressLine(process.stderr);
  const onWait = (waiting: number): void => progress.show({ done: 0, all: waiting, unit: "commands", note: "they must be decided first" });
  const records = await exportLog({
    log,
    output,
    patience: { deadlineMs: Date.now() + values.wait * 1_000, onWait },
    onProgress: (done, all) => progress.show({ done, all, unit: "records" }),
  });
  process.stderr.write(`exported ${countsText(records)} of the log ${log.id}\n`);
  return 0;
}

export function countsText(records: Footer["records"]): string {
  const counts = Object.entries(records).map(([topic, count]) => `${count.toLocaleString("en")} records of ${topic}`);
  return counts.length === 0 ? "nothing" : counts.join(", ");
}
