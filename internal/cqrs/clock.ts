/** Time, given to the runtime from outside, so that a test or a simulation can hold it. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls back once after a delay, unless cancelled. Does not keep the process alive. */
  after(delayMs: number, callback: () => void): Cancel;
}

/** Cancels a pending callback; without effect when it has run. */
export type Cancel = () => void;
