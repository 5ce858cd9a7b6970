import type { WriteStream } from "node:tty";
import { bar } from "../progress-bar.ts";
import type { Account } from "./account.ts";

/** Often enough to look alive. */
const REDRAW_MS = 250;

/** Where lines are kept, such as in a log, one now and then is enough. */
const LINE_EVERY_MS = 5_000;

/** Without an answer for longer than this, the server is taken to be away. */
const SILENCE_MS = 2_000;

export interface ProgressOptions {
  readonly account: Account;
  readonly stream: Pick<WriteStream, "isTTY" | "write">;
  readonly commandUrl: string;
  readonly timeoutMs: number;
}

/** Shows on a terminal a bar, elsewhere a line every few seconds; and says when the server does not answer, and when it does again. */
export function startProgress({ account, stream, commandUrl, timeoutMs }: ProgressOptions): Disposable {
  let waiting = false;
  let lastLineAtMs = Date.now();
  const clear = stream.isTTY ? "\r\x1b[2K" : "";
  const timer = setInterval(() => {
    const silent = account.silentForMs > SILENCE_MS;
    if (silent && !waiting) {
      stream.write(`${clear}no answer from ${commandUrl}; waiting for it, up to ${timeoutMs / 1000} s (Ctrl+C ends the import)\n`);
    } else if (waiting && !silent) {
      stream.write(`${clear}${commandUrl} answers again\n`);
    }
    waiting = silent;
    if (stream.isTTY) {
      stream.write(`${clear}${bar(account.settledRows, account.rows)} ${describeProgress(account)}`);
    } else if (Date.now() - lastLineAtMs >= LINE_EVERY_MS) {
      lastLineAtMs = Date.now();
      stream.write(`${describeProgress(account)}\n`);
    }
  }, REDRAW_MS);
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      stream.write(clear);
    },
  };
}

function describeProgress({ rows, settledRows, rejectedRows, commands, startedAtMs }: Account): string {
  const seconds = Math.max(1, Date.now() - startedAtMs) / 1000;
  const rate = Math.round(commands / seconds);
  const left = settledRows === 0 ? "?" : Math.ceil(((rows - settledRows) * seconds) / settledRows);
  const [settled, all, perSecond, rejected] = [settledRows, rows, rate, rejectedRows].map((count) => count.toLocaleString("en"));
  return `${settled} of ${all} rows, ${perSecond} commands/s, ${left} s left, ${rejected} rejected`;
}
