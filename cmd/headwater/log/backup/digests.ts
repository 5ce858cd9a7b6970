/** What a log holds, in a few bytes per partition of a topic: whether two hold the same. */

import { createHash, type Hash } from "node:crypto";
import { IMPORT_KEY } from "../../../../internal/cqrs/command/take-over.ts";
import type { Log, NewRecord } from "../../../../internal/cqrs/log.ts";
import { presentRecords } from "../../../../internal/cqrs/present-records.ts";
import { orderTopics } from "../../domain.ts";
import { exportedTopics } from "./format.ts";

type DigestedRecord = Pick<NewRecord, "topic" | "partition" | "key" | "value" | "headers">;

export class Digests {
  /** In their order, of topics whose records have one. */
  readonly #ordered = new Map<string, Hash>();
  /** The sum of those of all keys, of state. */
  readonly #state = new Map<string, bigint>();

  static async ofLog(log: Log): Promise<Digests> {
    const digests = new Digests();
    for (let partition = 0; partition < log.partitions; partition += 1) {
      for (const { name: topic } of exportedTopics) {
        if (topic === orderTopics.state.name) await digests.#addState(log, partition);
        else
          for await (const batch of presentRecords(log, { topic, partition }))
            for (const record of batch) digests.add({ ...record, topic });
      }
    }
    return digests;
  }

  add(record: DigestedRecord): void {
    const place = `partition ${record.partition} of ${record.topic}`;
    if (record.topic === orderTopics.state.name) {
      this.#state.set(place, (this.#state.get(place) ?? 0n) + digestOf(record).readBigUInt64BE());
      return;
    }
    const hash = this.#ordered.get(place) ?? createHash("sha256");
    this.#ordered.set(place, hash.update(digestOf(record)));
  }

  /** A place that is another; undefined if there is none. */
  difference(other: Digests): string | undefined {
    const [own, others] = [this.#texts(), other.#texts()];
    return [...own.keys(), ...others.keys()].find((place) => own.get(place) !== others.get(place));
  }

  /** Of a key that lies there several times, the last value counts. */
  async #addState(log: Log, partition: number): Promise<void> {
    const topic = orderTopics.state.name;
    const latest = new Map<string, Buffer>();
    for await (const values of log.latest(topic, partition)) {
      for (const { key, value } of values) {
        if (value === null || key === IMPORT_KEY) latest.delete(key);
        else latest.set(key, digestOf({ key, value }));
      }
    }
    const place = `partition ${partition} of ${topic}`;
    for (const digest of latest.values()) this.#state.set(place, (this.#state.get(place) ?? 0n) + digest.readBigUInt64BE());
  }

  #texts(): ReadonlyMap<string, string> {
    const ordered = [...this.#ordered].map(([place, hash]) => [place, hash.copy().digest("hex")] as const);
    return new Map([...ordered, ...[...this.#state].map(([place, sum]) => [place, String(sum)] as const)]);
  }
}

function digestOf({ key, value, headers = {} }: Pick<DigestedRecord, "key" | "value" | "headers">): Buffer {
  const sorted = Object.entries(headers).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256")
    .update(JSON.stringify([key, sorted]))
    .update(value ?? new Uint8Array())
    .digest();
}
