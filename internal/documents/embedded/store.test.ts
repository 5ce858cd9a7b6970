import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Collection, Condition, Fields, Find } from "../../cqrs/documents.ts";
import type { RowWrite } from "./protocol.ts";
import { openStore, type Store } from "./store.ts";

const orders: Collection = {
  name: "orders.v1",
  indexes: [
    { name: "customer", fields: ["customerId", "createdAt"] },
    { name: "status", fields: ["status", "createdAt"] },
    { name: "created", fields: ["createdAt"] },
    { name: "updated", fields: ["updatedAt"] },
    { name: "total", fields: ["total.minorUnits"] },
    { name: "text", fields: ["words", "createdAt"], multikey: true },
  ],
};

let store: Store;

beforeEach(() => {
  store = openStore({ path: ":memory:", readOnly: false });
  store.prepare([orders]);
});
afterEach(() => store.close());

function find(query: Partial<Find>): Find {
  return { collection: orders.name, where: [], sort: [], limit: 50, ...query };
}

function row(id: string, fields: Fields, revision = 1): RowWrite {
  return { collection: orders.name, row: [id, revision, "{}", JSON.stringify(fields)] };
}

describe("the plan of a query", () => {
  const customer: Condition = { field: "customerId", op: "eq", value: "ada" };
  const word: Condition = { field: "words", op: "eq", value: "red" };
  const created = { field: "createdAt", descending: true };
  const at = "2026-11-24T00:00:00.000Z";

  it.each<[title: string, query: Partial<Find>, index: string]>([
    ["a customer's orders, the newest first", { where: [customer], sort: [created] }, "index:orders.v1:customer"],
    ["their next page", { where: [customer], sort: [created], after: [at, "o1"] }, "index:orders.v1:customer"],
    ["all orders, the newest first", { sort: [created] }, "index:orders.v1:created"],
    ["their next page", { sort: [created], after: [at, "o1"] }, "index:orders.v1:created"],
    ["a time", { where: [{ field: "createdAt", op: "gte", value: new Date(at) }], sort: [created] }, "index:orders.v1:created"],
    [
      "orders of a status, the newest first",
      { where: [{ field: "status", op: "eq", value: "PAID" }], sort: [created] },
      "index:orders.v1:status",
    ],
    ["by total, ascending", { sort: [{ field: "total.minorUnits", descending: false }] }, "index:orders.v1:total"],
    ["by total, the next page", { sort: [{ field: "total.minorUnits", descending: true }], after: [5, "o1"] }, "index:orders.v1:total"],
    ["by the last change", { sort: [{ field: "updatedAt", descending: true }], after: [at, "o1"] }, "index:orders.v1:updated"],
    ["a word, the newest first", { where: [word], sort: [created] }, "index:orders.v1:text"],
    ["a word, the next page", { where: [word], sort: [created], after: [at, "o1"] }, "index:orders.v1:text"],
    ["two words", { where: [word, { ...word, value: "hat" }], sort: [created] }, "index:orders.v1:text"],
  ])("%s: walks the index and sorts nothing", (_title, query, index) => {
    const plan = store.explain(find(query)).join("\n");
    expect(plan).toContain(index);
    expect(plan).not.toContain("TEMP B-TREE");
    expect(plan).not.toMatch(/SCAN (doc|entry|element)$/m);
  });

  it.each<[title: string, query: Partial<Find>, index: string]>([
    ["a status or another", { where: [{ field: "status", op: "in", value: ["PAID", "PLACED"] }] }, "index:orders.v1:status"],
    [
      "a total, the largest first",
      { where: [{ field: "total.minorUnits", op: "gte", value: 5 }], sort: [{ field: "total.minorUnits", descending: true }] },
      "index:orders.v1:total",
    ],
    ["a word or another", { where: [{ field: "words", op: "in", value: ["red", "hat"] }] }, "index:orders.v1:text"],
  ])("%s: searches the index", (_title, query, index) => {
    const plan = store.explain(find(query));
    expect(plan.filter((step) => step.startsWith("SEARCH")).join("\n")).toContain(index);
  });

  it("several statuses, the newest first: walks the index once for each and sorts what is left", () => {
    const where: readonly Condition[] = [{ field: "status", op: "in", value: ["PAID", "PLACED", "PAID"] }];
    const plan = store.explain(find({ where, sort: [created], after: [at, "o1"] }));
    expect(plan.filter((step) => step.startsWith("SEARCH doc USING COVERING INDEX index:orders.v1:status"))).toHaveLength(2);
    expect(plan.filter((step) => step.includes("TEMP B-TREE"))).toHaveLength(2);
  });

  it("a sort without an index is seen to sort", () => {
    expect(store.explain(find({ sort: [{ field: "note", descending: true }] })).join("\n")).toContain("TEMP B-TREE");
  });
});

describe("a transaction", () => {
  it("that fails leaves nothing, and the store goes on", () => {
    const fail = () =>
      store.transaction(() => {
        store.prepare([{ name: "late.v1", indexes: [] }]);
        store.write([{ ...row("a", {}), collection: "late.v1" }, row("a", {})], []);
        throw new Error("planted");
      });
    expect(fail).toThrow("planted");
    expect(store.load(orders.name, ["a"])).toEqual([undefined]);
    expect(store.load("late.v1", ["a"])).toEqual([undefined]);
    expect(store.transaction(() => store.write([row("a", {})], []))).toEqual([]);
  });
});

describe("a multikey index", () => {
  const word = (value: string) => store.find(find({ where: [{ field: "words", op: "eq", value }] })).rows.map(([id]) => id);

  it("follows the elements and the other fields, also where these are absent", () => {
    store.write([row("a", { words: ["x", "y", "x"], createdAt: "1" }), row("b", { words: ["y"] }), row("c", {})], []);
    expect([word("x"), word("y"), word("z")]).toEqual([["a"], ["b", "a"], []].map((ids) => ids.toSorted()));
    store.write(
      [row("a", { words: ["z"], createdAt: "2" }, 2), row("b", { words: ["x"], createdAt: "1" }, 2), row("c", { words: ["z"] }, 2)],
      [],
    );
    expect([word("x"), word("y"), word("z")]).toEqual([["b"], [], ["a", "c"]]);
    store.write([row("a", {}, 3), row("b", { words: [] }, 3)], []);
    expect([word("x"), word("y"), word("z")]).toEqual([[], [], ["c"]]);
  });

  it("that is declared otherwise is built anew", () => {
    store.write([row("a", { words: ["x"], tags: ["t"] })], []);
    const redeclare = (field: string, multikey: boolean) =>
      store.prepare([{ name: orders.name, indexes: [{ name: "text", fields: [field], multikey }] }]);
    const tag: Condition = { field: "tags", op: "eq", value: "t" };
    redeclare("tags", true);
    expect(store.explain(find({ where: [tag] })).join("\n")).toContain("index:orders.v1:text");
    expect(store.find(find({ where: [tag] })).rows).toHaveLength(1);
    expect(word("x")).toEqual(["a"]);
    redeclare("status", false);
    expect(store.find(find({ where: [tag] })).rows).toHaveLength(1);
  });
});

it("a reader sees what another connection prepares and writes after it was opened", () => {
  const directory = mkdtempSync(join(tmpdir(), "headwater-store-"));
  const path = join(directory, "documents.sqlite");
  const writer = openStore({ path, readOnly: false });
  const reader = openStore({ path, readOnly: true });
  try {
    const load = () => reader.transaction(() => reader.load(orders.name, ["a"]));
    expect(load()).toEqual([undefined]);
    writer.transaction(() => {
      writer.prepare([orders]);
      writer.write([row("a", { words: ["x"] })], []);
    });
    expect(load()).toEqual([["a", 1, "{}", '{"words":["x"]}']]);
    expect(() => reader.transaction(() => reader.write([row("b", {})], []))).toThrow("readonly");
  } finally {
    reader.close();
    writer.close();
    rmSync(directory, { recursive: true });
  }
});
