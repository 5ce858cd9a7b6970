import { anyPosition } from "../../internal/cqrs/command/take-over.ts";
import type { Log, Topic } from "../../internal/cqrs/log.ts";
import { systemOptions } from "../../internal/process/options.ts";
import { command, jsonOption } from "./command.ts";
import { orderDomain, orderTopics } from "./domain.ts";
import { print } from "./printable.ts";
import { openLog } from "./system/open.ts";
import { type Cell, table } from "./table.ts";

export const topics = command({
  name: "topics",
  about: "the topics of the log, and what is in them",
  details: `Offsets count the records of a partition; on Kafka some places hold marks of transactions instead. A topic with retention "latest" holds
keys, "live" ones hold nothing. What is wrong with topics is told with its fix, and it ends with 1.`,
  options: { ...jsonOption, ...systemOptions },
  async run({ values }) {
    const problems: string[] = [];
    await using log = await openLog(values, (problem) => problems.push(problem));
    const described = await Promise.all(Object.values(orderTopics).map((topic) => describe(log, topic)));
    const decidedWith = (await anyPosition({ log, domain: orderDomain }))?.partitions ?? log.partitions;
    if (decidedWith !== log.partitions) problems.push(addedText(log, decidedWith));
    const answer = { logId: log.id, topics: described, problems };
    print(values.json ? `${JSON.stringify(answer, null, 2)}\n` : toTable(log, described) + problems.map((each) => `\n${each}\n`).join(""));
    return problems.length === 0 ? 0 : 1;
  },
});

interface DescribedTopic {
  readonly name: string;
  readonly retention: Topic["retention"];
  readonly partitions: readonly { readonly begin: number; readonly end: number }[];
  /** Of a topic with retention "latest": its keys, in all partitions. */
  readonly keys?: number;
}

async function describe(log: Log, { name, retention }: Topic): Promise<DescribedTopic> {
  const [begins, ends] = await Promise.all([log.begins(name), log.ends(name)]);
  const partitions = ends.map((end, partition) => ({ begin: begins[partition] ?? 0, end }));
  const described = { name, retention, partitions };
  return retention === "latest" ? { ...described, keys: await countKeys(log, name) } : described;
}

async function countKeys(log: Log, topic: string): Promise<number> {
  let count = 0;
  for (let partition = 0; partition < log.partitions; partition += 1) {
    const keys = new Set<string>();
    for await (const values of log.latest(topic, partition)) {
      for (const { key, value } of values) {
        if (value === null) keys.delete(key);
        else keys.add(key);
      }
    }
    count += keys.size;
  }
  return count;
}

function addedText(log: Log, decidedWith: number): string {
  return (
    `the topics have ${log.partitions} partitions, and commands were decided with ${decidedWith}: partitions were added, which no command handler ` +
    "accepts. Export the log and import it into new topics"
  );
}

function toTable(log: Log, described: readonly DescribedTopic[]): string {
  const rows = described.map(({ name, retention, partitions, keys }): readonly Cell[] => {
    const span = partitions.reduce((sum, { begin, end }) => sum + end - begin, 0);
    return [name, retention, partitions.length, keys === undefined ? span : `${keys.toLocaleString("en")} keys`, rangesOf(partitions)];
  });
  return `log ${log.id}\n\n${table(["topic", "retention", "partitions", log.guarantees.gaplessOffsets ? "records" : "offsets", "begin-end of each"], rows)}`;
}

function rangesOf(partitions: DescribedTopic["partitions"]): string {
  return partitions.map(({ begin, end }) => `${begin}-${end}`).join(" ");
}
