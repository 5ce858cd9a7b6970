import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it, onTestFinished } from "vitest";
import { LogUnavailableError } from "../../cqrs/log.ts";
import { nextOffset, type StatePosition, StateStore } from "./state-store.ts";

const source = { topic: "state", topicId: "first" };

/** Enough that some are written before the store is closed, and that they fill many pages. */
const MANY = 2_500;

const PAGE_BYTES = 4_096;

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
      const model = new Map<number, { readonly values: Map<string, Uint8Array>; records: number }>();
      let store = new StateStore({ directory, ...source });
      for (const each of steps) {
        if ("records" in each) {
          const known = model.get(each.partition) ?? { values: new Map<string, Uint8Array>(), records: 0 };
          model.set(each.partition, known);
          known.records += 1;
          for (const { key, value } of each.records) {
            if (value === null) known.values.delete(key);
            else known.values.set(key, value);
          }
          store.apply([{ ...each, position: positionAt(known.records) }]);
        } else if ("partition" in each) {
          model.delete(each.partition);
          store.clear(each.partition);
        } else {
          store.close();
          store = new StateStore({ directory, ...source });
        }
        for (const number of partitions) {
          const { values, records = 0 } = model.get(number) ?? {};
          expect(store.load(number, keys).map((value) => value && [...value])).toEqual(
            keys.map((key) => values?.get(key)).map((value) => value && [...value]),
          );
          expect(store.position(number)).toEqual(positionAt(records));
          expect(nextOffset(store.position(number))).toBe(records === 0 ? 0 : records + 1);
        }
      }
      store.close();
    }),
    { numRuns: 30 },
  );
});

it("many values are there again when it is opened again, and a copy of another topic of that name is not", () => {
  const directory = folder();
  const names = fill(directory);
  const again = new StateStore({ directory, ...source });
  expect(again.load(0, names).map((value) => value?.[0])).toEqual(names.map((_, index) => index % 256));
  expect(again.position(0)).toEqual(positionAt(MANY));
  again.close();
  const other = new StateStore({ directory, ...source, topicId: "created again" });
  expect(other.load(0, ["key 0"])).toEqual([undefined]);
  expect(nextOffset(other.position(0))).toBe(0);
  other.close();
});

it("values that are large are written before they are many", () => {
  const directory = folder();
  const store = new StateStore({ directory, ...source });
  for (let index = 1; index <= 20; index += 1) {
    store.apply([{ partition: 0, records: [{ key: `key ${index}`, value: new Uint8Array(1024 * 1024) }], position: positionAt(index) }]);
  }
  const sizes = readdirSync(directory).map((name) => statSync(join(directory, name)).size);
  expect(Math.max(...sizes)).toBeGreaterThan(10 * 1024 * 1024);
  store.close();
});

/** What a disk, a power failure or a hand may have done to the file, while it was closed. */
const damages: readonly (readonly [string, (path: string) => void])[] = [
  ["is no database", (path) => writeFileSync(path, "no database, ".repeat(1_000))],
  ["has a header of garbage", (path) => overwrite(path, 0, Buffer.alloc(100, 0x5a))],
  ["was cut off", (path) => truncateSync(path, 10 * PAGE_BYTES + 100)],
  ["is empty", (path) => truncateSync(path, 0)],
  ["has pages of garbage", (path) => overwrite(path, 5 * PAGE_BYTES, Buffer.alloc(20 * PAGE_BYTES, 0x5a))],
  ["has pages of zeroes", (path) => overwrite(path, 5 * PAGE_BYTES, Buffer.alloc(20 * PAGE_BYTES))],
  ["has the layout of another version", (path) => overwrite(path, 60, Buffer.from([0, 0, 0, 1]))],
  ["has one value of which a byte is another", changeOneValue],
];

it.each(damages)("a copy that %s is never believed, and is made again", (_, damage) => {
  const directory = folder();
  const names = fill(directory);
  damage(join(directory, `${source.topic}.sqlite`));
  expect(whatIsLoaded(directory, names)).toEqual({ wrong: 0 });
  const again = new StateStore({ directory, ...source });
  expect(nextOffset(again.position(0))).toBe(0);
  again.apply([{ partition: 0, records: [{ key: "key 0", value: Uint8Array.of(9) }], position: positionAt(1) }]);
  again.close();
  const third = new StateStore({ directory, ...source });
  expect(third.load(0, ["key 0"])).toEqual([Uint8Array.of(9)]);
  third.close();
});

it("a copy that is damaged again after it was made again ends the process: its disk cannot be used", () => {
  const directory = folder();
  for (const expected of [LogUnavailableError, /damaged again/]) {
    const names = fill(directory);
    changeOneValue(join(directory, `${source.topic}.sqlite`));
    const store = new StateStore({ directory, ...source });
    expect(() => store.load(0, names)).toThrow(expected);
    store.close();
  }
});

function positionAt(records: number): StatePosition {
  if (records === 0) return { last: undefined, writer: undefined };
  return { last: { offset: records, checksum: records * 7, timestampMs: records * 1_000 }, writer: `writer ${records}` };
}

/** Many values in partition 0, each of which fills a part of a page. */
function fill(directory: string): readonly string[] {
  const store = new StateStore({ directory, ...source });
  const names = Array.from({ length: MANY }, (_, index) => `key ${index}`);
  for (const [index, key] of names.entries()) {
    store.apply([{ partition: 0, records: [{ key, value: valueOf(index) }], position: positionAt(index + 1) }]);
  }
  store.close();
  return names;
}

function valueOf(index: number): Uint8Array {
  return new Uint8Array(300).fill(index % 256);
}

/** Opens the copy and loads everything, as often as a process may start. Nothing may be there that was not written. */
function whatIsLoaded(directory: string, names: readonly string[]): { readonly wrong: number } {
  for (let start = 0; start < 2; start += 1) {
    try {
      const store = new StateStore({ directory, ...source });
      const isThere = nextOffset(store.position(0)) > 0;
      const values = store.load(0, names);
      store.close();
      return { wrong: isThere ? values.filter((value, index) => !Buffer.from(valueOf(index)).equals(value ?? Buffer.alloc(0))).length : 0 };
    } catch (error) {
      if (!(error instanceof LogUnavailableError)) throw error;
    }
  }
  throw new Error("the copy was not made again");
}

function changeOneValue(path: string): void {
  const value = valueOf(77);
  const at = readFileSync(path).indexOf(value);
  expect(at).toBeGreaterThan(0);
  overwrite(path, at + 100, Buffer.from([78]));
}

function overwrite(path: string, at: number, bytes: Buffer): void {
  const file = openSync(path, "r+");
  writeSync(file, bytes, 0, bytes.length, at);
  closeSync(file);
}

function folder(): string {
  const directory = mkdtempSync(join(tmpdir(), "headwater-state-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}
