import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Condition, DocumentWrite, Find, Index } from "../../cqrs/documents.ts";
import { anyOrder, modelFind, orderFields } from "../../cqrs/testing/documents-model.ts";
import { findRows, type Run, type Values } from "./find-plan.ts";
import { createDocumentsSql, createIndexSql, documentsTable } from "./schema.ts";

const collection = "orders.v1";
const indexes: readonly Index[] = [
  { name: "created", fields: ["createdAt"] },
  { name: "total", fields: ["total.minorUnits"] },
  { name: "customer-created", fields: ["customerId", "createdAt"] },
  { name: "status-created", fields: ["status", "createdAt"] },
  { name: "status-total", fields: ["status", "total.minorUnits"] },
  { name: "words-created", fields: ["words", "createdAt"], multikey: true },
];

const equal =
  (field: string) =>
  (value: string): Condition => ({ field, op: "eq", value });
const oneOf =
  (field: string) =>
  (value: string[]): Condition => ({ field, op: "in", value });
const range = (field: string, values: readonly (number | Date)[]): fc.Arbitrary<Condition> =>
  fc.record({ field: fc.constant(field), op: fc.constantFrom("gt", "gte", "lt", "lte"), value: fc.constantFrom(...values) });
const anyCondition = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom("x", "y", "z", "nobody").map(equal("words")) },
  fc.subarray(["x", "y", "z"]).map(oneOf("words")),
  fc.constantFrom("", "a", "B").map(equal("customerId")),
  fc.constantFrom("DRAFT", "PAID").map(equal("status")),
  fc.subarray(["DRAFT", "PAID", "NONE"]).map(oneOf("status")),
  range(
    "createdAt",
    [1, 2, 3].map((day) => new Date(Date.UTC(2026, 0, day))),
  ),
  range("total.minorUnits", [-1, 0, 0.5, 2]),
  fc.constant("note any").map(equal("note")),
);
const anyFind = fc.record({
  where: fc.array(anyCondition, { maxLength: 5 }),
  sort: fc.record({ field: fc.constantFrom("createdAt", "total.minorUnits", "status"), descending: fc.boolean() }).map((each) => [each]),
  limit: fc.integer({ min: 1, max: 9 }),
  afterIndex: fc.option(fc.nat(39), { nil: undefined }),
  firstSteps: fc.integer({ min: 1, max: 3 }),
});

let db: DatabaseSync;
/** The statements that were run, and how. */
const statements = new Map<string, string>();

beforeAll(() => {
  db = new DatabaseSync(":memory:");
  db.exec(createDocumentsSql(collection));
  for (const index of indexes) db.exec(createIndexSql(collection, index));
});
afterAll(() => db.close());

const run: Run = ({ sql, values }) => {
  const plan = db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values);
  statements.set(sql, plan.map(({ detail }) => String(detail)).join("\n"));
  const statement = db.prepare(sql);
  statement.setReturnArrays(true);
  return statement.all(...values) as unknown as readonly Values[];
};

function store(writes: readonly DocumentWrite[]): void {
  db.exec(`DELETE FROM ${documentsTable(collection)}; DELETE FROM "entries:${collection}:words-created"`);
  const insert = db.prepare(`INSERT INTO ${documentsTable(collection)} VALUES (?, 1, '{}', ?, 0)`);
  for (const { id, fields } of writes) insert.run(id, JSON.stringify(fields));
}

it("whichever ways a query takes, it finds what reading every document finds", () => {
  fc.assert(
    fc.property(
      fc.array(anyOrder, { minLength: 20, maxLength: 40 }),
      fc.array(anyFind, { minLength: 30, maxLength: 30 }),
      (orders, finds) => {
        const writes = orders.map((fields, index) => ({ collection, id: `${(index * 7) % 40}`, expectedRevision: 0, applied: {}, fields }));
        store(writes);
        for (const { where, sort, limit, afterIndex, firstSteps } of finds) {
          const all = modelFind(writes, { where: [], sort });
          const key = writes.find(({ id }) => afterIndex !== undefined && id === all[afterIndex]);
          const query: Find = { collection, where, sort, limit, ...(key && { after: sortKey(key, sort) }) };
          const found = findRows(query, indexes, run, firstSteps).map((values) => values.at(-1));
          const behind = key === undefined ? all : all.slice(all.indexOf(key.id) + 1);
          const expected = modelFind(writes, { where, sort }).filter((id) => behind.includes(id));
          expect(found).toEqual(expected.slice(0, limit + 1));
        }
      },
    ),
    { numRuns: 60 },
  );
  const texts = [...statements.keys()].join();
  expect(ways.filter((way) => !texts.includes(way))).toEqual([]);
  // Only what no index has is looked for in all documents.
  const scans = [...statements].filter(([, plan]) => /SCAN (doc|element)$/m.test(plan)).map(([sql]) => sql);
  expect(scans.filter((sql) => !sql.includes("ORDER BY json_extract(doc.fields, '$.status')"))).toEqual([]);
});

it("what is frequent is walked in the order of the list, and what is rare is gathered", () => {
  const day = { customerId: "", status: "PAID", total: 1, day: 1 };
  const orders = Array.from({ length: 60 }, (_, index) => orderFields("any", { ...day, words: index === 30 ? ["x", "y"] : ["x"] }));
  store(orders.map((fields, index) => ({ collection, id: `${index}`, expectedRevision: 0, applied: {}, fields })));
  const plansOf = (value: string): string => {
    statements.clear();
    const sort = [{ field: "total.minorUnits", descending: true }];
    const rows = findRows({ collection, where: [equal("words")(value)], sort, limit: 5 }, indexes, run, 2);
    expect(rows).toHaveLength(value === "x" ? 6 : 1);
    return [...statements.values()].join("\n");
  };
  expect(plansOf("x")).toContain("SEARCH doc USING INDEX index:orders.v1:total");
  expect(plansOf("x")).not.toContain("TEMP B-TREE");
  expect(plansOf("y")).not.toContain("index:orders.v1:total");
});

it("a list is planned one by one, however many conditions there are: none of them becomes a join", () => {
  const words = Array.from({ length: 32 }, (_, index) => `word${index}`);
  const everything = orderFields("any", { customerId: "a", status: "PAID", total: 1, day: 1, words });
  store(Array.from({ length: 20 }, (_, index) => ({ collection, id: `${index}`, expectedRevision: 0, applied: {}, fields: everything })));
  const where = [...words.map(equal("words")), ...["a", "b", "c"].map(equal("note"))];
  statements.clear();
  expect(findRows({ collection, where, sort: [{ field: "createdAt", descending: true }], limit: 5 }, indexes, run, 2)).toEqual([]);
  const longest = [...statements.values()].toSorted((a, b) => b.length - a.length)[0] ?? "";
  expect(longest.match(/CORRELATED SCALAR SUBQUERY/g)?.length).toBeGreaterThan(words.length);
});

/** Counting, walking up to a key, several walks, entries side by side, and ids that an index has. */
const ways = ["count(*)", "OFFSET", "UNION ALL", "INTERSECT", "doc.id IN (SELECT entry.id", "entry.id IN (SELECT doc.id"];

function sortKey({ id, fields }: DocumentWrite, sort: Find["sort"]): readonly (string | number)[] {
  const values = sort.map(({ field }) =>
    field.split(".").reduce<unknown>((value, name) => (value as DocumentWrite["fields"])[name], fields),
  );
  return [...values.map((value) => (value instanceof Date ? value.toISOString() : (value as string | number))), id];
}
