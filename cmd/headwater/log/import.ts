import { createWriteStream } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { ConfigError } from "../../../internal/platform/config.ts";
import { replicationOption, systemOptions } from "../../../internal/process/options.ts";
import { command } from "../command.ts";
import { confirm, yesOption } from "../confirm.ts";
import { printError } from "../printable.ts";
import { startProgressLine } from "../progress-bar.ts";
import { createLog, type SystemValues } from "../system/open.ts";
import { checkEmpty, importLog } from "./backup/import-log.ts";
import { openBackup } from "./backup/read.ts";
import { inFile, type VerifiedBackup, verifyBackup } from "./backup/verify.ts";
import { countsText } from "./export.ts";

const options = { ...yesOption, ...replicationOption, ...systemOptions };

type ImportValues = SystemValues & { readonly yes: boolean; readonly "replication-factor": number };

export const importCommand = command({
  name: "log import",
  about: "write an exported log into an empty one",
  takes: "<file, or - for the input>",
  details: `The whole file is checked before anything is written. The new log has as many partitions as the old one; its folder or topics are made if they are
missing. Nobody may work on it meanwhile. Then everything goes on: orders are where they were, commands that were decided get their first
answer, and the views are built from the events. Tokens of the old log are not understood by the new one.`,
  options,
  async run({ values, positionals }) {
    const [file, ...others] = positionals;
    if (file === undefined || others.length > 0) throw new ConfigError("name one file, or - for the input");
    if (file !== "-") return importFile(file, values);
    if (!values.yes) throw new ConfigError("the input is the file, so nobody can be asked: --yes says that it may be written");
    const folder = await mkdtemp(join(tmpdir(), "headwater-import-"));
    try {
      // It is read twice.
      const spooled = join(folder, "input");
      await pipeline(process.stdin, createWriteStream(spooled, { mode: 0o600 }));
      return await importFile(spooled, values);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
});

async function importFile(file: string, values: ImportValues): Promise<number> {
  const { header, records } = await verify(file);
  const target = values.system === "kafka" ? `Kafka at ${values["kafka-brokers"].join(", ")}` : resolve(values.data);
  const what = `${countsText(records)}, exported on ${header.exportedAt}`;
  if (!(await confirm(`Import ${what} into ${target}?`, values))) return 1;
  await using log = await createLog(values, header.partitions);
  if (log.partitions !== header.partitions) {
    throw new Error(
      `the log in ${target} has ${log.partitions} partitions, and the file ${header.partitions}: keys would change their partition`,
    );
  }
  await checkEmpty(log);
  const all = Object.values(records).reduce((sum, count) => sum + count, 0);
  using progress = startProgressLine(process.stderr);
  const { lines } = await openBackup(file);
  await importLog({ log, logId: header.logId, lines, onProgress: (done) => progress.show({ done, all, unit: "records" }) });
  printError(`imported ${what} into ${target}, which is the log ${log.id} now\n`);
  return 0;
}

async function verify(file: string): Promise<VerifiedBackup> {
  using progress = startProgressLine(process.stderr);
  try {
    const { size } = await stat(file);
    return await verifyBackup(file, (done) => progress.show({ done, all: size, unit: "bytes", note: "checking" }));
  } catch (error) {
    throw inFile(file, error);
  }
}
