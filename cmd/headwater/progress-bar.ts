/** Progress for people: a bar on a terminal, elsewhere a line every few seconds. */

import type { WriteStream } from "node:tty";

const BAR_WIDTH = 24;

/** Where lines are kept, such as in a log, one now and then is enough. */
const LINE_EVERY_MS = 5_000;

/** What is erased before a bar is drawn again. */
const START_OF_LINE = "\r\x1b[2K";

export function bar(done: number, all: number): string {
  const filled = all === 0 ? BAR_WIDTH : Math.min(BAR_WIDTH, Math.floor((done / all) * BAR_WIDTH));
  return `[${"#".repeat(filled)}${"-".repeat(BAR_WIDTH - filled)}]`;
}

/** How far something is. */
export interface Progress {
  readonly done: number;
  readonly all: number;
  /** Of what. */
  readonly unit: string;
  /** What else there is to say. */
  readonly note?: string;
}

export interface ProgressLine extends Disposable {
  show(progress: Progress): void;
}

/** Rate and time left are those since the first call. */
export function startProgressLine(stream: Pick<WriteStream, "isTTY" | "write">): ProgressLine {
  const startedAtMs = Date.now();
  let first: number | undefined;
  let lastLineAtMs = startedAtMs;
  return {
    show(progress) {
      first ??= progress.done;
      const text = describeProgress(progress, progress.done - first, Math.max(1, Date.now() - startedAtMs) / 1000);
      if (stream.isTTY) stream.write(`${START_OF_LINE}${bar(progress.done, progress.all)} ${text}`);
      else if (Date.now() - lastLineAtMs >= LINE_EVERY_MS) {
        lastLineAtMs = Date.now();
        stream.write(`${text}\n`);
      }
    },
    [Symbol.dispose]() {
      if (stream.isTTY) stream.write(START_OF_LINE);
    },
  };
}

function describeProgress({ done, all, unit, note }: Progress, sinceStart: number, seconds: number): string {
  const rate = sinceStart / seconds;
  const left = rate === 0 ? "?" : String(Math.ceil(Math.max(0, all - done) / rate));
  const [ofDone, ofAll, perSecond] = [done, all, Math.round(rate)].map((count) => count.toLocaleString("en"));
  return `${ofDone} of ${ofAll} ${unit}, ${perSecond} ${unit}/s, ${left} s left${note === undefined ? "" : `, ${note}`}`;
}
