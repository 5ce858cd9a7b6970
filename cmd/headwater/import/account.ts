/** What becomes of every row, counted as it is known. */

export interface AccountSummary {
  /** Of the file: the header, the empty ones, and the rows. */
  readonly lines: number;
  readonly emptyLines: number;
  readonly rows: number;
  readonly imported: number;
  /** Rows by the reason for which they were refused. */
  readonly rejected: Readonly<Record<string, number>>;
  /** Rows of credit notes for which there is no order. */
  readonly unmatched: number;
  /** Rows that were not answered for, because the import was ended. */
  readonly unfinished: number;
  readonly orders: number;
  readonly returns: number;
  /** Accepted commands, with those that were there before this run. */
  readonly commands: number;
  readonly alreadyThere: number;
  readonly seconds: number;
  readonly commandsPerSecond: number;
}

export class Account {
  readonly lines: number;
  readonly emptyLines: number;
  readonly rows: number;
  readonly startedAtMs = Date.now();
  imported = 0;
  unmatched = 0;
  orders = 0;
  returns = 0;
  commands = 0;
  alreadyThere = 0;
  #lastAnswerAtMs = Date.now();
  readonly #rejected = new Map<string, number>();

  constructor({ lines, emptyLines, rows }: Pick<AccountSummary, "lines" | "emptyLines" | "rows">) {
    this.lines = lines;
    this.emptyLines = emptyLines;
    this.rows = rows;
  }

  get rejectedRows(): number {
    return this.#rejected.values().reduce((sum, rows) => sum + rows, 0);
  }

  get settledRows(): number {
    return this.imported + this.rejectedRows + this.unmatched;
  }

  get silentForMs(): number {
    return Date.now() - this.#lastAnswerAtMs;
  }

  reject(reason: string, rows: number): void {
    this.#rejected.set(reason, (this.#rejected.get(reason) ?? 0) + rows);
  }

  noteAnswer(): void {
    this.#lastAnswerAtMs = Date.now();
  }

  /** Counts an accepted command; one that was accepted before this run began has been sent by an earlier run. */
  noteAccepted(acceptedAtMs: number): void {
    this.commands++;
    if (acceptedAtMs < this.startedAtMs) this.alreadyThere++;
  }

  summary(): AccountSummary {
    const { lines, emptyLines, rows, imported, unmatched, orders, returns, commands, alreadyThere } = this;
    const seconds = Math.max(1, Date.now() - this.startedAtMs) / 1000;
    const rejected = Object.fromEntries([...this.#rejected].toSorted(([, one], [, other]) => other - one));
    const unfinished = rows - this.settledRows;
    const commandsPerSecond = Math.round(commands / seconds);
    const fates = { rows, imported, rejected, unmatched, unfinished };
    return { lines, emptyLines, ...fates, orders, returns, commands, alreadyThere, seconds, commandsPerSecond };
  }
}

/** Whether every line is the header, empty or a row, and every row has exactly one fate, and all of them are known. */
export function addsUp({ lines, emptyLines, rows, imported, rejected, unmatched, unfinished }: AccountSummary): boolean {
  const rejectedRows = Object.values(rejected).reduce((sum, count) => sum + count, 0);
  return unfinished === 0 && rows === imported + rejectedRows + unmatched && lines === 1 + emptyLines + rows;
}

export function describeAccount(summary: AccountSummary): string {
  const { lines, emptyLines, rows, imported, rejected, unmatched, unfinished, orders, returns } = summary;
  const { commands, alreadyThere, seconds, commandsPerSecond } = summary;
  const line = (count: number, what: string): string => `${count.toLocaleString("en").padStart(10)} ${what}\n`;
  return [
    line(lines, `lines: the header, ${emptyLines.toLocaleString("en")} empty, and`),
    line(rows, "rows"),
    line(imported, "imported"),
    ...Object.entries(rejected).map(([reason, count]) => line(count, `rejected: ${reason}`)),
    line(unmatched, "unmatched: returns without an order"),
    unfinished > 0 ? line(unfinished, "unfinished: run the same command again to complete them") : "",
    "\n",
    line(orders, "orders"),
    line(returns, "returns"),
    line(commands, `commands, ${alreadyThere.toLocaleString("en")} of them already there`),
    `${seconds.toFixed(1).padStart(10)} seconds, ${commandsPerSecond.toLocaleString("en")} commands/s\n`,
  ].join("");
}
