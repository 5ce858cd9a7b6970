/** Tells on stderr what a run does now, so that the figures have stdout for themselves. */

/** Steps that only count on may do so fifty times a second. Where lines stay, one in so long is enough. */
const COUNT_EVERY_MS = 5_000;

export interface Progress {
  say(text: string): void;
  /** Leaves nothing behind on a terminal. */
  end(): void;
}

/** On a terminal each state replaces the one before; elsewhere each has its line. */
export function startProgress({ stderr } = process): Progress {
  const startedMs = performance.now();
  let saidMs = startedMs;
  let step = "";
  return {
    say(text) {
      const nowMs = performance.now();
      const now = text.replaceAll(/[\d,]+/g, "");
      if (!stderr.isTTY && now === step && nowMs - saidMs < COUNT_EVERY_MS) return;
      [saidMs, step] = [nowMs, now];
      const line = `${Math.round((nowMs - startedMs) / 1000)} s  ${text}`;
      stderr.write(stderr.isTTY ? `\r\x1b[2K${line}` : `${line}\n`);
    },
    end() {
      if (stderr.isTTY) stderr.write("\r\x1b[2K");
    },
  };
}
