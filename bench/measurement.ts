/** What a measurement is given and what it returns. */

export interface Measurement<Given extends Bench = Bench> {
  /** Its name for `--only`. */
  readonly name: string;
  readonly summary: string;
  run(bench: Given): Promise<readonly Row[]>;
}

export interface Bench {
  /** Small sizes, to see that everything works. Its figures say nothing. */
  readonly quick: boolean;
  /** A temporary folder for everything. */
  readonly folder: string;
  /** Says what happens now, in place of what it said before. */
  progress(text: string): void;
}

/** One figure. */
export interface Row {
  readonly name: string;
  /** Absent: it could not be measured, and the note says why. */
  readonly value?: number;
  readonly unit: "/s" | "s" | "ms" | "MB" | "%";
  readonly latency?: Latency;
  /** Ceilings and peers of the same run. */
  readonly beside?: readonly Peer[];
  /** The largest value that is wanted. */
  readonly atMost?: number;
  readonly note?: string;
}

export interface Peer {
  readonly name: string;
  /** Absent: it could not be measured, and the note says why. */
  readonly value?: number;
  /** The smallest share of the peer's value that is wanted. */
  readonly aim?: number;
  /** The largest share of the peer's value that is wanted. */
  readonly limit?: number;
  readonly note?: string;
}

export interface Latency {
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
}

/** A log that is long enough to show what grows with it. */
export const LARGE_LOG_EVENTS = 1_000_000;
export const QUICK_LOG_EVENTS = 20_000;

export function callersText(callers: number): string {
  return callers === 1 ? "1 caller" : `${callers} callers`;
}

/** The note of a row or peer without a figure. */
export function notMeasured(error: unknown): string {
  const [reason = ""] = (error instanceof Error ? error.message : String(error)).split("\n", 1);
  return `not measured: ${reason}`;
}
