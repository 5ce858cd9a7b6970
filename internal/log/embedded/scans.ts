/**
 * Values that a client reads page by page as they were at one moment. Copying them takes memory for a partition's state and holds up writers
 * for as long as SQLite reads it; a transaction that sees the old values would need a second connection, which a file that is locked for one
 * process does not allow.
 */

import type { LatestValue } from "../../cqrs/log.ts";

/** How much one page holds, but for its last value. */
const PAGE_BYTES = 1024 * 1024;

/** Those of one client. */
export class Scans {
  readonly #open = new Map<number, { readonly values: readonly LatestValue[]; next: number }>();
  #last = 0;

  begin(values: readonly LatestValue[]): number {
    this.#last += 1;
    this.#open.set(this.#last, { values, next: 0 });
    return this.#last;
  }

  /** The next values; none behind the last, and of a scan that was ended. */
  page(id: number): readonly LatestValue[] {
    const scan = this.#open.get(id);
    if (scan === undefined) return [];
    const first = scan.next;
    for (let bytes = 0; bytes < PAGE_BYTES && scan.next < scan.values.length; scan.next += 1) {
      const { key = "", value } = scan.values[scan.next] ?? {};
      bytes += key.length + (value?.length ?? 0);
    }
    return scan.values.slice(first, scan.next);
  }

  end(id: number): void {
    this.#open.delete(id);
  }
}
