import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it, onTestFinished } from "vitest";
import { StateStore } from "./state-store.ts";

const source = { logId: "log", topic: "state" };

/** Enough that some are written before the store is closed. */
const MANY = 2_500;

const keys = ["a", "b", "c"] as const;
const partitions = [0, 1] as const;
const partition = fc.constantFrom(...partitions);
const record = fc.record({ key: fc.constantFrom(...keys), value: fc.option(fc.uint8Array({ maxLength: 3 })) });
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("apply"), partition, records: fc.array(record) }) },
  fc.record({ kind: fc.constant("clear"), partition }),
  fc.record({ kind: fc.constant("reopen") }),
);

it("of each key the latest value is loaded, with the latest position, whatever is written already", () => {
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const directory = folder();
      const model = new Map<number, { readonly values: Map<string, Uint8Array>; nextOffset: number }>();
      let store = new StateStore(directory, source);
      for (const each of steps) {
        if ("records" in each) {
          const known = model.get(each.partition) ?? { values: new Map<string, Uint8Array>(), nextOffset: 0 };
          model.set(each.partition, known);
          known.nextOffset += 1;
          for (const { key, value } of each.records) {
            if (value === null) known.values.delete(key);
            else known.values.set(key, value);
          }
          store.apply([{ ...each, position: { nextOffset: known.nextOffset, writer: `writer ${known.nextOffset}` } }]);
        } else if ("partition" in each) {
          model.delete(each.partition);
          store.clear(each.partition);
        } else {
          store.close();
          store = new StateStore(directory, source);
        }
        for (const number of partitions) {
          const { values, nextOffset = 0 } = model.get(number) ?? {};
          expect(store.load(number, keys).map((value) => value && [...value])).toEqual(
            keys.map((key) => values?.get(key)).map((value) => value && [...value]),
          );
          expect(store.position(number)).toEqual({ nextOffset, writer: nextOffset === 0 ? undefined : `writer ${nextOffset}` });
        }
      }
      store.close();
    }),
    { numRuns: 30 },
  );
});

it("many values are there again when it is opened again, and a copy of another log is not", () => {
  const directory = folder();
  const store = new StateStore(directory, source);
  const names = Array.from({ length: MANY }, (_, index) => `key ${index}`);
  for (const [index, key] of names.entries()) {
    store.apply([{ partition: 0, records: [{ key, value: Uint8Array.of(index) }], position: { nextOffset: index + 1, writer: "one" } }]);
  }
  expect(store.load(0, names).map((value) => value?.[0])).toEqual(names.map((_, index) => index % 256));
  store.close();
  const again = new StateStore(directory, source);
  expect(again.load(0, names).map((value) => value?.[0])).toEqual(names.map((_, index) => index % 256));
  expect(again.position(0)).toEqual({ nextOffset: MANY, writer: "one" });
  again.close();
  const other = new StateStore(directory, { ...source, logId: "another" });
  expect(other.load(0, ["key 0"])).toEqual([undefined]);
  expect(other.position(0)).toEqual({ nextOffset: 0, writer: undefined });
  other.close();
});

function folder(): string {
  const directory = mkdtempSync(join(tmpdir(), "headwater-state-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}
