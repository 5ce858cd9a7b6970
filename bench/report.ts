import { availableParallelism, cpus, totalmem } from "node:os";
import type { Latency, Peer, Row } from "./measurement.ts";

export interface Machine {
  readonly date: string;
  readonly cores: number;
  readonly processor: string;
  readonly memoryGb: number;
  readonly node: string;
}

export function describeMachine(): Machine {
  return {
    date: new Date().toISOString(),
    cores: availableParallelism(),
    processor: cpus()[0]?.model ?? "unknown",
    memoryGb: Math.round(totalmem() / 2 ** 30),
    node: process.version,
  };
}

const HEADINGS = ["", "figure", "p50 / p95 / p99 ms", "beside", "", "ratio", "aim"];

/** Columns of text and of numbers: these end at the same place. */
const RIGHT_ALIGNED = [false, true, true, false, true, true, false];

/** One line per figure, and one more for each further ceiling or peer. */
export function formatTable(rows: readonly Row[]): string {
  const lines = [HEADINGS, ...rows.flatMap(linesOf)];
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const format = (line: readonly string[]): string =>
    line
      .map((cell, column) => (RIGHT_ALIGNED[column] === true ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join("  ")
      .trimEnd();
  return lines.map(format).join("\n");
}

export function formatMachine({ date, cores, processor, memoryGb, node }: Machine): string {
  return `${date}, ${cores} cores (${processor}), ${memoryGb} GB, Node ${node}`;
}

function linesOf(row: Row): readonly (readonly string[])[] {
  const { name, value, unit, latency, beside = [], atMost, note } = row;
  if (value === undefined) return [[name, "-", "", note ?? "", "", "", ""]];
  const [first, ...others] = beside;
  const limit = atMost === undefined ? "" : `${verdict(value <= atMost)} at most ${atMost} ${unit}`;
  const peer = first === undefined ? [note ?? "", "", "", ""] : peerCells(value, first);
  return [
    [name, `${rounded(value)} ${unit}`, latency === undefined ? "" : latencyText(latency), ...peer.slice(0, 3), limit || (peer[3] ?? "")],
    ...others.map((other) => ["", "", "", ...peerCells(value, other)]),
  ];
}

function peerCells(value: number, { name, value: peer, aim, limit, note = "" }: Peer): readonly string[] {
  if (peer === undefined) return [`${name}: ${note}`, "-", "", ""];
  const ratio = value / peer;
  const wanted = [
    ...(aim === undefined ? [] : [`${verdict(ratio >= aim)} at least ${aim}`]),
    ...(limit === undefined ? [] : [`${verdict(ratio <= limit)} at most ${limit}`]),
  ];
  return [name, rounded(peer), ratio.toFixed(2), wanted.join(", ")];
}

function verdict(isReached: boolean): string {
  return isReached ? "yes:" : "NO: ";
}

function latencyText({ p50Ms, p95Ms, p99Ms }: Latency): string {
  return [p50Ms, p95Ms, p99Ms].map(rounded).join(" / ");
}

/** Three digits say all that a noisy machine knows. */
function rounded(number: number): string {
  return Number(number.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 3 });
}
