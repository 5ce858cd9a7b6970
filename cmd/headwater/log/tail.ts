import type { Log, LogRecord } from "../../../internal/cqrs/log.ts";
import { partitionOf } from "../../../internal/cqrs/partition.ts";
import { presentRecords } from "../../../internal/cqrs/present-records.ts";
import { ConfigError, flag, flagOnly, integer, type Option, oneOf, text } from "../../../internal/platform/config.ts";
import { systemOptions } from "../../../internal/process/options.ts";
import { command, jsonOption } from "../command.ts";
import { print } from "../printable.ts";
import { openLog } from "../system/open.ts";
import { decode, shownTopics } from "./decode.ts";

type From = "start" | "end" | number;

const MAX_PARTITION = 1_023;

/** What is shown of a log when nothing else is asked for: as many lines as `tail` shows of a file. */
const LAST_RECORDS = 10;

const options = {
  topic: flagOnly(oneOf<keyof typeof shownTopics>("events, commands or dead-letters", ["events", "commands", "dead-letters"], "events")),
  from: flagOnly(fromOption()),
  partition: flagOnly(integer("this partition only; -1 means all", -1, MAX_PARTITION, -1)),
  key: flagOnly(text("the records with this key only, such as an order's id", "")),
  limit: flagOnly(limitOption()),
  follow: flagOnly(flag("go on as records come, until Ctrl+C")),
  ...jsonOption,
  ...systemOptions,
};

/** What is to be read. */
interface Selection {
  readonly topic: string;
  readonly partitions: readonly number[];
  readonly from: From;
  readonly key: string;
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

export const tail = command({
  name: "log tail",
  about: "the records of the log, one line each",
  details: `A line tells the partition and offset, when it was appended, its key, what it is, and what it says. Without --from these are the last ${LAST_RECORDS} of
all partitions, or the last --limit; with --from all that follow, or the first --limit, a partition after the other; with --follow those that
come.`,
  options,
  async run({ values }) {
    await using log = await openLog(values);
    const stop = new AbortController();
    process.once("SIGINT", () => stop.abort()).once("SIGTERM", () => stop.abort());
    const selection = selectionOf(log, values, stop.signal);
    const lineOf = values.json ? jsonLineOf : textLineOf;
    const { limit } = values;
    if (values.from === undefined && !values.follow && limit !== 0) {
      for (const record of await lastRecords(log, selection, limit ?? LAST_RECORDS)) print(`${lineOf(selection.topic, record)}\n`);
      return 0;
    }
    let left = limit === undefined || limit === 0 ? Number.POSITIVE_INFINITY : limit;
    await read(log, selection, (record) => {
      if (left <= 0) return;
      left -= 1;
      print(`${lineOf(selection.topic, record)}\n`);
      if (left === 0) stop.abort();
    });
    return 0;
  },
});

function fromOption(): Option<From | undefined> {
  return {
    help: "start, end, or an offset of the --partition",
    default: "",
    parse(value) {
      if (value === "") return undefined;
      if (value === "start" || value === "end") return value;
      if (/^\d{1,15}$/.test(value)) return Number(value);
      throw new ConfigError("must be start, end or an offset");
    },
  };
}

function limitOption(): Option<number | undefined> {
  const number = integer("so many records at most; 0 means all", 0, Number.MAX_SAFE_INTEGER);
  return { ...number, default: "", parse: (value) => (value === "" ? undefined : number.parse(value)) };
}

interface Wanted {
  readonly topic: keyof typeof shownTopics;
  readonly from: From | undefined;
  readonly partition: number;
  readonly key: string;
  readonly follow: boolean;
}

function selectionOf({ partitions }: Log, wanted: Wanted, signal: AbortSignal): Selection {
  const { key, follow, from = follow ? "end" : "start" } = wanted;
  const partition = wanted.partition === -1 && key !== "" ? partitionOf(key, partitions) : wanted.partition;
  if (partition >= partitions) throw new ConfigError(`--partition must be less than ${partitions}: the log has so many`);
  if (typeof from === "number" && partition === -1) throw new ConfigError("--from with an offset needs a --partition or a --key");
  const all = Array.from({ length: partitions }, (_, index) => index);
  return { topic: shownTopics[wanted.topic], partitions: partition === -1 ? all : [partition], from, key, follow, signal };
}

/** The last ones of all partitions together, in the order of their times. */
async function lastRecords(log: Log, { topic, partitions, key }: Selection, count: number): Promise<readonly LogRecord[]> {
  const [begins, ends] = await Promise.all([log.begins(topic), log.ends(topic)]);
  const last: LogRecord[] = [];
  for (const partition of partitions) {
    const [begin = 0, end = 0] = [begins[partition], ends[partition]];
    last.push(...(await lastOfPartition(log, { topic, partition, begin, end, key }, count)));
  }
  return last.toSorted((one, other) => one.timestampMs - other.timestampMs).slice(-count);
}

interface Span {
  readonly topic: string;
  readonly partition: number;
  readonly begin: number;
  readonly end: number;
  readonly key: string;
}

/** Not every offset has a record, and not every record is wanted: it looks farther back until there are enough. */
async function lastOfPartition(log: Log, { topic, partition, begin, end, key }: Span, count: number): Promise<readonly LogRecord[]> {
  for (let span = 2 * count; ; span *= 4) {
    const from = Math.max(begin, end - span);
    let found: readonly LogRecord[] = [];
    for await (const batch of presentRecords(log, { topic, partition, from, to: end })) {
      const wanted = key === "" ? batch : batch.filter((record) => record.key === key);
      found = [...found, ...wanted].slice(-count);
    }
    if (found.length >= count || from === begin) return found;
  }
}

async function read(log: Log, selection: Selection, onRecord: (record: LogRecord) => void): Promise<void> {
  const { topic, partitions, from, follow, signal } = selection;
  const show = async (batches: AsyncIterable<readonly LogRecord[]>): Promise<void> => {
    for await (const batch of batches) {
      if (signal.aborted) return;
      for (const record of batch) if (selection.key === "" || record.key === selection.key) onRecord(record);
    }
  };
  if (follow) {
    const begins = await log.begins(topic);
    const first = (partition: number): number | "end" =>
      from === "end" ? from : Math.max(from === "start" ? 0 : from, begins[partition] ?? 0);
    await Promise.all(partitions.map(async (partition) => show(await log.tail({ topic, partition, from: first(partition), signal }))));
    return;
  }
  if (from === "end") return;
  for (const partition of partitions) {
    await show(presentRecords(log, { topic, partition, from: from === "start" ? 0 : from }));
  }
}

function textLineOf(topic: string, record: LogRecord): string {
  const decoded = decode(topic, record);
  const place = `${record.partition}/${record.offset}`;
  const time = new Date(record.timestampMs).toISOString();
  const content = "error" in decoded ? `undecodable: ${decoded.error}` : `${decoded.type}  ${JSON.stringify(decoded.json)}`;
  return `${place}  ${time}  ${quoted(record.key)}  ${content}`;
}

/** A key may hold anything, and a terminal obeys some of it. */
function quoted(key: string): string {
  return /^[\x21-\x7e]+$/.test(key) ? key : JSON.stringify(key);
}

function jsonLineOf(topic: string, record: LogRecord): string {
  const { partition, offset, timestampMs, key, headers, value } = record;
  const time = new Date(timestampMs).toISOString();
  const decoded = decode(topic, record);
  const content =
    "error" in decoded
      ? { error: decoded.error, base64: Buffer.from(value).toString("base64") }
      : { type: decoded.type, value: decoded.json };
  return JSON.stringify({ topic, partition, offset, time, key, headers, ...content });
}
