/** What every adapter of the document port must do. An adapter is what passes it. */

import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Checkpoint, Collection, Condition, Documents, DocumentWrite, Fields, Find, SortKey, StoredDocument } from "../documents.ts";
import { SortKeyError } from "../documents.ts";
import { anyMove, anyOrder, anyQuery, modelFind, type OrderValues, orderFields } from "./documents-model.ts";

/** A new, empty store and the connections that a test needs. Disposing of it closes and removes everything. */
export interface DocumentsUnderTest extends AsyncDisposable {
  readonly documents: Documents;
  /** Another connection to the same store, as another process would have it. */
  connect(): Promise<Documents>;
  /** Closes the store and opens it again. Absent if the documents do not outlive it. */
  reopen?(): Promise<Documents>;
}

/** Runs the suite on an adapter. Each test has collections of its own in one store. */
export function describeDocuments(name: string, open: () => Promise<DocumentsUnderTest>): void {
  describe(name, () => {
    let store: DocumentsUnderTest;

    beforeAll(async () => {
      store = await open();
    });
    afterAll(() => store[Symbol.asyncDispose]());
    beforeEach(async () => {
      orders = newCollection();
      await store.documents.prepare([orders]);
    });

    const context: Context = { documents: () => store.documents, store: () => store };
    describe("writing", () => describeWriting(context));
    describe("finding", () => describeFinding(context));
    describe("paging", () => describePaging(context));
    describe("checkpoints", () => describeCheckpoints(context));
    describe("preparing", () => describePreparing(context));
    describe("names and values", () => describeNames(context));
    describe("a durable store", () => describeDurability(open));
  });
}

interface Context {
  readonly documents: () => Documents;
  readonly store: () => DocumentsUnderTest;
}

/** The collection of the test that runs. */
let orders: Collection;

let collections = 0;

function newCollection(): Collection {
  return {
    name: `orders-${++collections}.v1`,
    indexes: [
      { name: "customer", fields: ["customerId", "createdAt"] },
      { name: "status", fields: ["status", "createdAt"] },
      { name: "total", fields: ["total.minorUnits"] },
      { name: "text", fields: ["words", "createdAt"], multikey: true },
    ],
  };
}

function describeWriting({ documents }: Context) {
  it("a document that was never written is not there", async () => {
    expect(await documents().load(orders.name, ["nobody"])).toEqual([undefined]);
    expect(await documents().load(`never-${orders.name}`, ["nobody"])).toEqual([undefined]);
    expect(await documents().find(all({ collection: `never-${orders.name}` }))).toEqual({ documents: [] });
  });

  it("a document comes back with its id, revision, applied positions and fields", async () => {
    const fields = {
      text: "ä",
      number: 1.5,
      negative: -3,
      yes: true,
      no: false,
      nested: { list: [1, [2], { deep: "x" }], empty: {} },
      none: [],
    };
    await write(documents(), [created("a", fields, { 0: 7, 12: 9_007_199_254_740_991 })]);
    expect(await documents().load(orders.name, ["a"])).toEqual([
      { id: "a", revision: 1, applied: { 0: 7, 12: 9_007_199_254_740_991 }, fields },
    ]);
  });

  it("a date comes back as the same moment", async () => {
    await write(documents(), [created("a", { at: new Date("2026-11-24T10:11:12.345Z") })]);
    const [document] = await documents().load(orders.name, ["a"]);
    expect(new Date(document?.fields["at"] as string | Date).toISOString()).toBe("2026-11-24T10:11:12.345Z");
  });

  it("every write raises the revision by one and replaces the fields", async () => {
    await write(documents(), [created("a", { first: 1 })]);
    await write(documents(), [{ ...created("a", { second: 2 }, { 0: 2 }), expectedRevision: 1 }]);
    expect(await documents().load(orders.name, ["a"])).toEqual([{ id: "a", revision: 2, applied: { 0: 2 }, fields: { second: 2 } }]);
  });

  it("documents come in the order of the ids asked for", async () => {
    await write(documents(), [created("a", {}), created("b", {}), created("c", {})]);
    const loaded = await documents().load(orders.name, ["c", "missing", "a", "c", "b"]);
    expect(loaded.map((document) => document?.id)).toEqual(["c", undefined, "a", "c", "b"]);
    expect(await documents().load(orders.name, [])).toEqual([]);
  });

  it("a write of another revision than the expected one conflicts and changes nothing", async () => {
    await write(documents(), [created("a", { kept: true })]);
    const conflict = { collection: orders.name, id: "a" };
    expect(await documents().write([created("a", { kept: false })], [])).toEqual([conflict]);
    expect(await documents().write([{ ...created("a", { kept: false }), expectedRevision: 2 }], [])).toEqual([conflict]);
    expect(await documents().write([{ ...created("missing", {}), expectedRevision: 1 }], [])).toEqual([{ ...conflict, id: "missing" }]);
    expect(await documents().load(orders.name, ["a", "missing"])).toMatchObject([{ revision: 1, fields: { kept: true } }, undefined]);
  });

  it("of two writers that loaded the same revision one conflicts", async () => {
    await write(documents(), [created("a", {})]);
    const writes = [1, 2, 3].map((writer) => documents().write([{ ...created("a", { writer }), expectedRevision: 1 }], []));
    const conflicts = await Promise.all(writes);
    expect(conflicts.map(({ length }) => length).toSorted((a, b) => a - b)).toEqual([0, 1, 1]);
    expect(await documents().load(orders.name, ["a"])).toMatchObject([{ revision: 2 }]);
  });

  it("collections do not share documents", async () => {
    const other = newCollection();
    await documents().prepare([other]);
    await write(documents(), [created("a", { in: "orders" }), { ...created("a", { in: "other" }), collection: other.name }]);
    expect(await documents().load(orders.name, ["a"])).toMatchObject([{ fields: { in: "orders" } }]);
    expect(await documents().load(other.name, ["a"])).toMatchObject([{ fields: { in: "other" } }]);
  });
}

function describeFinding({ documents }: Context) {
  const sample = () => [
    order("1", { customerId: "ada", status: "PLACED", total: 100, day: 1, words: ["red", "shoe"] }),
    order("2", { customerId: "ada", status: "PAID", total: 300, day: 2, words: ["red", "hat"] }),
    order("3", { customerId: "bob", status: "PLACED", total: 200, day: 3, words: ["blue", "hat", "hat"] }),
    order("4", { customerId: "ada", status: "DRAFT", total: 200, day: 2, words: [] }),
  ];
  const day = (number: number) => new Date(Date.UTC(2026, 0, number));

  it.each<[title: string, where: readonly Condition[], ids: readonly string[]]>([
    ["nothing", [], ["1", "2", "3", "4"]],
    ["eq on a string", [{ field: "customerId", op: "eq", value: "ada" }], ["1", "2", "4"]],
    ["eq on a number of a nested document", [{ field: "total.minorUnits", op: "eq", value: 200 }], ["3", "4"]],
    ["eq on a date", [{ field: "createdAt", op: "eq", value: day(2) }], ["2", "4"]],
    ["eq on a field without an index", [{ field: "note", op: "eq", value: "note 3" }], ["3"]],
    ["gt", [{ field: "total.minorUnits", op: "gt", value: 200 }], ["2"]],
    ["gte", [{ field: "total.minorUnits", op: "gte", value: 200 }], ["2", "3", "4"]],
    ["lt", [{ field: "createdAt", op: "lt", value: day(2) }], ["1"]],
    ["lte", [{ field: "createdAt", op: "lte", value: day(2) }], ["1", "2", "4"]],
    ["in", [{ field: "status", op: "in", value: ["PAID", "DRAFT", "NONE"] }], ["2", "4"]],
    ["in of nothing", [{ field: "status", op: "in", value: [] }], []],
    ["eq on an element of an array", [{ field: "words", op: "eq", value: "hat" }], ["2", "3"]],
    ["in on an element of an array", [{ field: "words", op: "in", value: ["red", "hat"] }], ["1", "2", "3"]],
    ["eq on an element of an array without an index", [{ field: "tags", op: "eq", value: "tag 2" }], ["2"]],
    ["in on an element of an array without an index", [{ field: "tags", op: "in", value: ["tag 2", "all"] }], ["1", "2", "3", "4"]],
    [
      "two elements of an array",
      [
        { field: "words", op: "eq", value: "hat" },
        { field: "words", op: "eq", value: "red" },
      ],
      ["2"],
    ],
    [
      "a range",
      [
        { field: "createdAt", op: "gte", value: day(2) },
        { field: "createdAt", op: "lt", value: day(3) },
      ],
      ["2", "4"],
    ],
    [
      "conditions on several fields",
      [
        { field: "words", op: "in", value: ["red"] },
        { field: "customerId", op: "eq", value: "ada" },
        { field: "total.minorUnits", op: "lt", value: 300 },
      ],
      ["1"],
    ],
    ["a value that no document has", [{ field: "customerId", op: "eq", value: "eve" }], []],
    ["a field that no document has", [{ field: "missing", op: "gte", value: "" }], []],
  ])("%s", async (_title, where, ids) => {
    await write(documents(), sample());
    const page = await documents().find(all({ where }));
    expect(page.documents.map(({ id }) => id)).toEqual(ids);
    expect(page.next).toBeUndefined();
  });

  it("a document that changed is found by its new values only", async () => {
    await write(documents(), sample());
    await write(documents(), [
      { ...order("1", { customerId: "bob", status: "PLACED", total: 100, day: 1, words: ["hat"] }), expectedRevision: 1 },
      { ...order("2", { customerId: "ada", status: "PAID", total: 300, day: 9, words: ["red", "hat"] }), expectedRevision: 1 },
    ]);
    expect(await idsOf(documents(), [{ field: "words", op: "eq", value: "red" }])).toEqual(["2"]);
    expect(await idsOf(documents(), [{ field: "words", op: "eq", value: "hat" }])).toEqual(["1", "2", "3"]);
    expect(await idsOf(documents(), [{ field: "customerId", op: "eq", value: "ada" }])).toEqual(["2", "4"]);
  });

  it("any query finds what reading every document finds", () =>
    fc.assert(
      fc.asyncProperty(fc.array(anyOrder, { maxLength: 12 }), anyQuery, async (fields, query) => {
        orders = newCollection();
        await documents().prepare([orders]);
        const writes = fields.map((each, index) => created(String(index), each));
        await write(documents(), writes);
        const page = await documents().find(all(query));
        expect(page.documents.map(({ id }) => id)).toEqual(modelFind(writes, query));
      }),
      { numRuns: 60 },
    ));
}

function describePaging({ documents }: Context) {
  const sorts: readonly [title: string, sort: Find["sort"]][] = [
    ["by id", []],
    ["ascending", [{ field: "total.minorUnits", descending: false }]],
    ["descending", [{ field: "createdAt", descending: true }]],
    [
      "by two fields of one direction",
      [
        { field: "customerId", descending: true },
        { field: "createdAt", descending: true },
      ],
    ],
    [
      "by two fields of different directions",
      [
        { field: "status", descending: true },
        { field: "total.minorUnits", descending: false },
      ],
    ],
    ["by a boolean", [{ field: "paid", descending: true }]],
  ];
  const manyOrders = () =>
    Array.from({ length: 25 }, (_, index) =>
      order(`o${index % 10}${index}`, {
        customerId: `c${index % 2}`,
        status: index % 3 === 0 ? "PAID" : "PLACED",
        total: (index * 7) % 4,
        day: 1 + (index % 5),
        words: ["every", `word${index % 2}`],
      }),
    );

  it.each(sorts)("pages %s follow each other without a gap or an overlap", async (_title, sort) => {
    const many = manyOrders();
    await write(documents(), many);
    for (const limit of [1, 7, 24, 25, 26]) {
      const pages = await readPages(documents(), all({ sort, limit }));
      expect(pages.flat()).toEqual(modelFind(many, { where: [], sort }));
      expect(pages.length).toBe(Math.ceil(many.length / limit));
    }
  });

  it.each(sorts)("pages of a filter %s follow each other without a gap or an overlap", async (_title, sort) => {
    const many = manyOrders();
    await write(documents(), many);
    const filters: readonly (readonly Condition[])[] = [
      [
        { field: "words", op: "eq", value: "every" },
        { field: "words", op: "eq", value: "word1" },
      ],
      [{ field: "status", op: "in", value: ["PAID", "PLACED", "PAID"] }],
      [
        { field: "customerId", op: "in", value: ["c1", "c2"] },
        { field: "createdAt", op: "gt", value: new Date(Date.UTC(2026, 0, 2)) },
      ],
    ];
    for (const where of filters) {
      const pages = await readPages(documents(), all({ where, sort, limit: 5 }));
      expect(pages.flat()).toEqual(modelFind(many, { where, sort }));
    }
  });

  it("a document that stands still is on exactly one page, whatever moves meanwhile", () =>
    fc.assert(
      fc.asyncProperty(fc.constantFrom(...sorts), fc.array(anyMove, { minLength: 1, maxLength: 8 }), async ([, sort], moves) => {
        orders = newCollection();
        await documents().prepare([orders]);
        const many = manyOrders();
        await write(documents(), many);
        const moved = new Set<string>();
        let move = 0;
        const pages = await readPages(documents(), all({ sort, limit: 4 }), async () => {
          const next = moves[move++];
          if (next === undefined) return;
          const id = next.isNew ? `new${move}` : (many[next.index]?.id ?? "");
          const [before] = await documents().load(orders.name, [id]);
          moved.add(id);
          await write(documents(), [{ ...order(id, next.to), expectedRevision: before?.revision ?? 0 }]);
        });
        const stoodStill = (id: string) => !moved.has(id);
        expect(pages.flat().filter(stoodStill)).toEqual(modelFind(many, { where: [], sort }).filter(stoodStill));
      }),
      { numRuns: 25 },
    ));

  it("a sort key that does not fit the sort is refused", async () => {
    await write(documents(), manyOrders());
    const sort = [{ field: "createdAt", descending: true }];
    const { next = [] } = await documents().find(all({ sort, limit: 1 }));
    const refused: readonly SortKey[] = [[], next.slice(0, 1), next.slice(1), [...next, "more"], [...next.slice(0, 1), 5]];
    for (const after of refused) await expect(documents().find(all({ sort, after }))).rejects.toThrow(SortKeyError);
    await expect(documents().find(all({ after: next }))).rejects.toThrow(SortKeyError);
  });
}

function describeCheckpoints({ documents, store }: Context) {
  const checkpoint = (partition: number, sequence: number, collection = orders.name): Checkpoint => {
    return { collection, partition, logId: "log", nextOffset: sequence * 2, sequence };
  };

  it("a checkpoint is what was written last, per collection and partition", async () => {
    await documents().write([], [checkpoint(0, 1), checkpoint(1, 5), checkpoint(0, 9, newCollection().name)]);
    await documents().write([], [checkpoint(0, 2)]);
    const found = await documents().checkpoints(orders.name);
    expect(found.toSorted((a, b) => a.partition - b.partition)).toEqual([checkpoint(0, 2), checkpoint(1, 5)]);
    expect(await documents().checkpoints(newCollection().name)).toEqual([]);
  });

  it("a write with a conflict writes no checkpoint", async () => {
    await write(documents(), [created("a", {})], [checkpoint(0, 1)]);
    expect(await documents().write([created("b", {}), created("a", {})], [checkpoint(0, 2)])).toEqual([
      { collection: orders.name, id: "a" },
    ]);
    expect(await documents().checkpoints(orders.name)).toEqual([checkpoint(0, 1)]);
  });

  it("a watcher on another connection sees a checkpoint advance, and then reads what it covers", async () => {
    await using watching = await store().connect();
    const stop = new AbortController();
    const seen = createSeen();
    await watching.watchCheckpoints(seen.add, stop.signal);
    for (const sequence of [1, 2, 3]) await write(documents(), [created(`a${sequence}`, {})], [checkpoint(3, sequence)]);
    await seen.until(({ partition, sequence }) => partition === 3 && sequence === 3);
    expect(await watching.load(orders.name, ["a3"])).toMatchObject([{ id: "a3" }]);
    expect(await watching.checkpoints(orders.name)).toEqual([checkpoint(3, 3)]);
    stop.abort();
  });

  it("a watcher sees nothing of a write with a conflict, and nothing after its signal aborted", async () => {
    const [first, second] = [new AbortController(), new AbortController()];
    const stopped = createSeen();
    const seen = createSeen();
    await documents().watchCheckpoints(stopped.add, first.signal);
    await documents().watchCheckpoints(seen.add, second.signal);
    await write(documents(), [created("a", {})]);
    await documents().write([created("a", {})], [checkpoint(0, 1)]);
    first.abort();
    await documents().write([], [checkpoint(0, 2)]);
    await seen.until(({ sequence }) => sequence === 2);
    expect(seen.all()).toEqual([checkpoint(0, 2)]);
    expect(stopped.all()).toEqual([]);
    second.abort();
  });
}

function describePreparing({ documents, store }: Context) {
  it("preparing again changes nothing", async () => {
    await write(documents(), [order("1", { customerId: "ada", status: "PAID", total: 1, day: 1, words: ["red"] })]);
    await documents().prepare([orders]);
    expect(await idsOf(documents(), [{ field: "words", op: "eq", value: "red" }])).toEqual(["1"]);
  });

  it("an index that is added later covers the documents that are there", async () => {
    const collection = newCollection().name;
    await documents().prepare([{ name: collection, indexes: [] }]);
    await write(documents(), [{ ...created("a", { status: "PAID", tags: ["x", "y"] }), collection }]);
    await using other = await store().connect();
    const byTag = all({ collection, where: [{ field: "tags", op: "eq", value: "y" }] });
    expect((await other.find(byTag)).documents).toHaveLength(1);
    const indexes = [
      { name: "status", fields: ["status"] },
      { name: "tags", fields: ["tags"], multikey: true },
    ];
    await documents().prepare([{ name: collection, indexes }]);
    await write(documents(), [{ ...created("b", { status: "PAID", tags: ["y"] }), collection }]);
    expect((await other.find(byTag)).documents.map(({ id }) => id)).toEqual(["a", "b"]);
    const byStatus = all({ collection, where: [{ field: "status", op: "eq", value: "PAID" }] });
    expect((await other.find(byStatus)).documents.map(({ id }) => id)).toEqual(["a", "b"]);
  });
}

function describeDurability(open: () => Promise<DocumentsUnderTest>) {
  it("keeps documents and checkpoints", async ({ skip }) => {
    await using store = await open();
    if (store.reopen === undefined) return skip("the documents do not outlive the store");
    const checkpoint = { collection: orders.name, partition: 0, logId: "log", nextOffset: 1, sequence: 1 };
    await store.documents.prepare([orders]);
    await write(store.documents, [created("a", { words: ["kept"] })], [checkpoint]);
    const reopened = await store.reopen();
    expect(await reopened.load(orders.name, ["a"])).toMatchObject([{ revision: 1 }]);
    expect(await idsOf(reopened, [{ field: "words", op: "eq", value: "kept" }])).toEqual(["a"]);
    expect(await reopened.checkpoints(orders.name)).toEqual([checkpoint]);
    await write(reopened, [{ ...created("a", {}), expectedRevision: 1 }]);
  });
}

function describeNames({ documents }: Context) {
  const names = [
    "'; DROP TABLE documents; --",
    '"quoted"',
    "__proto__",
    "constructor",
    "$where",
    "a.b",
    "%_*?",
    "日本語 🛶",
    " ",
    "\\",
    "1",
    "é",
    "e\u0301",
  ];

  it.each(names)("%j is an id and a value like any other", async (name) => {
    await write(documents(), [
      order(name, { customerId: name, status: name, total: 1, day: 1, words: [name, "other"] }),
      created("other", {}),
    ]);
    expect(await documents().load(orders.name, [name])).toMatchObject([{ id: name, fields: { customerId: name } }]);
    for (const field of ["customerId", "words", "tags", "note"]) {
      const value = field === "note" ? `note ${name}` : field === "tags" ? `tag ${name}` : name;
      expect(await idsOf(documents(), [{ field, op: "eq", value }])).toEqual([name]);
      expect(await idsOf(documents(), [{ field, op: "in", value: [value] }])).toEqual([name]);
    }
  });

  it("ids that look alike are different documents", async () => {
    await write(
      documents(),
      names.map((name) => created(name, {})),
    );
    const loaded = await documents().load(orders.name, names);
    expect(loaded.map((document) => document?.id)).toEqual(names);
    expect((await readPages(documents(), all({ limit: 4 }))).flat().toSorted()).toEqual(names.toSorted());
  });
}

function order(id: string, values: OrderValues): DocumentWrite {
  return created(id, orderFields(id, values));
}

function created(id: string, fields: Fields, applied: Readonly<Record<number, number>> = { 0: 1 }): DocumentWrite {
  return { collection: orders.name, id, expectedRevision: 0, applied, fields };
}

function all(query: Partial<Find>): Find {
  return { collection: orders.name, where: [], sort: [], limit: 100, ...query };
}

async function write(documents: Documents, writes: readonly DocumentWrite[], checkpoints: readonly Checkpoint[] = []): Promise<void> {
  expect(await documents.write(writes, checkpoints)).toEqual([]);
}

async function idsOf(documents: Documents, where: readonly Condition[]): Promise<readonly string[]> {
  const { documents: found } = await documents.find(all({ where }));
  return found.map(({ id }) => id);
}

async function readPages(documents: Documents, query: Find, between: () => Promise<void> = async () => {}): Promise<readonly string[][]> {
  const pages: string[][] = [];
  let after: SortKey | undefined;
  do {
    const page: { readonly documents: readonly StoredDocument[]; readonly next?: SortKey } = await documents.find(
      after === undefined ? query : { ...query, after },
    );
    pages.push(page.documents.map(({ id }) => id));
    after = page.next;
    await between();
  } while (after !== undefined);
  return pages;
}

function createSeen() {
  const seen: Checkpoint[] = [];
  let wake = () => {};
  return {
    add(checkpoints: readonly Checkpoint[]) {
      seen.push(...checkpoints.filter(({ collection }) => collection === orders.name));
      wake();
    },
    all: () => seen,
    async until(matches: (checkpoint: Checkpoint) => boolean) {
      while (!seen.some(matches)) await new Promise<void>((resolve) => (wake = resolve));
    },
  };
}
