import type { LogRecord, RecordsTooLargeError } from "../log.ts";

/** How many commands one transaction takes: enough to make its cost small per command, few enough that a retry is short. */
const MAX_SLICE_COMMANDS = 1_000;

/** The place of a command in the log. */
export type CommandPlace = Pick<LogRecord, "partition" | "offset">;

/**
 * How many commands a slice takes. After one that was too large it is half as many, until a single command is found that is too large by
 * itself, and more again with each that is committed.
 */
export class SliceLimit {
  #commands = MAX_SLICE_COMMANDS;
  #tooLarge: CommandPlace | undefined;

  get commands(): number {
    return this.#commands;
  }

  committed(): void {
    this.#commands = Math.min(MAX_SLICE_COMMANDS, 2 * this.#commands);
  }

  /**
   * A slice of so many commands, of which this was the last, was too large.
   *
   * @throws {RecordsTooLargeError} nothing more can be left out: not even that a command is too large can be written
   */
  refused(commands: number, last: CommandPlace, error: RecordsTooLargeError): void {
    if (commands === 1) {
      if (this.isTooLarge(last)) throw error;
      this.#tooLarge = last;
    }
    this.#commands = Math.max(1, Math.floor(commands / 2));
  }

  /** Whether what this command would write is too large, whatever else is written with it. */
  isTooLarge({ partition, offset }: CommandPlace): boolean {
    return this.#tooLarge?.partition === partition && this.#tooLarge.offset === offset;
  }
}
