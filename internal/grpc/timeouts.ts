/** Deadlines whose length a caller chooses. */

/**
 * A timer that is longer fires at once. It is 24 days: nobody waits for longer, and no connection
 * lasts so long.
 */
export const maxTimerMs = 2 ** 31 - 1;

const msPerUnit: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 0.001, n: 0.000_001 };

/** What a grpc-timeout header says, in milliseconds; undefined: it is none. */
export function parseGrpcTimeout(header: string): number | undefined {
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(header) ?? [];
  const factor = unit === undefined ? undefined : msPerUnit[unit];
  return factor === undefined ? undefined : Number(digits) * factor;
}

/** A grpc-timeout of so many milliseconds, or of as many as a timer takes. */
export function grpcTimeout(ms: number): string {
  return `${Math.floor(Math.min(ms, maxTimerMs) / 1_000)}S`;
}

/**
 * Calls a function after a while, and after what has come meanwhile was read and what was written
 * has been sent: a process that was busy must not take its own delay for its peer's.
 */
export function afterIdle(waitMs: number, action: () => void): Disposable {
  let pending: NodeJS.Immediate | undefined;
  const timer = setTimeout(
    () => {
      pending = setImmediate(() => {
        pending = setImmediate(action);
      });
    },
    Math.max(0, waitMs),
  );
  return {
    [Symbol.dispose]() {
      clearTimeout(timer);
      clearImmediate(pending);
    },
  };
}
