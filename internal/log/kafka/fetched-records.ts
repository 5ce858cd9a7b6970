/** Records that have been fetched and wait to be taken. They lie here as bytes, and are decoded when they are taken. */

import type { PollOptions } from "../../cqrs/log.ts";
import type { KafkaRecord, RecordReader } from "./record-batch.ts";

/** How much one call takes. A single record is taken however large it is. */
export type Limits = Omit<PollOptions, "waitMs">;

/** What one fetch brought. All of it stays in memory until the last of its parts has been taken. */
export interface Fetched {
  readonly bytes: number;
  /** The partitions of which something is left. */
  parts: number;
}

/** What one fetch brought of one partition. */
interface Part {
  readonly records: RecordReader;
  readonly fetched: Fetched;
}

/** What one call has taken so far. */
interface Taken {
  readonly records: KafkaRecord[];
  bytes: number;
}

export class FetchedRecords {
  /** Per partition; the one whose turn is next comes first. */
  readonly #parts = new Map<number, Part[]>();
  #bytes = 0;

  /** The memory that is held by what waits. */
  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#parts.size === 0;
  }

  add(partition: number, part: Part): void {
    if (part.fetched.parts === 0) this.#bytes += part.fetched.bytes;
    part.fetched.parts += 1;
    const parts = this.#parts.get(partition);
    if (parts === undefined) this.#parts.set(partition, [part]);
    else parts.push(part);
  }

  drop(partition: number): void {
    for (const part of this.#parts.get(partition) ?? []) this.#release(part);
    this.#parts.delete(partition);
  }

  /**
   * Takes records within the limits, and of each partition its share.
   *
   * @throws {Error} a batch is compressed in a way that cannot be read here
   */
  take(limits: Limits): KafkaRecord[] {
    const taken: Taken = { records: [], bytes: 0 };
    for (let before = -1; before < taken.records.length && this.#parts.size > 0; ) {
      before = taken.records.length;
      const share = Math.ceil((limits.maxRecords - before) / this.#parts.size);
      // A copy, because each goes to the end.
      const partitions = [...this.#parts.keys()];
      for (const partition of partitions) this.#takeShare(partition, share, { taken, ...limits });
    }
    return taken.records;
  }

  /** A partition of which something was taken has its next turn behind the others. */
  #takeShare(partition: number, share: number, { taken, maxRecords, maxBytes }: Limits & { readonly taken: Taken }): void {
    const parts = this.#parts.get(partition) ?? [];
    const { records } = taken;
    const before = records.length;
    const end = Math.min(before + share, maxRecords);
    for (let part = parts[0]; part !== undefined && records.length < end; part = parts[0]) {
      const bytes = part.records.nextBytes();
      if (bytes === undefined) {
        parts.shift();
        this.#release(part);
      } else if (records.length > 0 && taken.bytes + bytes > maxBytes) break;
      else {
        records.push(part.records.next());
        taken.bytes += bytes;
      }
    }
    if (parts.length > 0 && records.length === before) return;
    this.#parts.delete(partition);
    if (parts.length > 0) this.#parts.set(partition, parts);
  }

  #release({ fetched }: Part): void {
    fetched.parts -= 1;
    if (fetched.parts === 0) this.#bytes -= fetched.bytes;
  }
}
