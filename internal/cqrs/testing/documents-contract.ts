/** What every adapter of the document port must do. An adapter is what passes it. */

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Checkpoint, DocumentsSetBackError, NEWS } from "../documents.ts";
import { describeFinding, describePaging } from "./documents-contract-finding.ts";
import { describeLoading } from "./documents-contract-loading.ts";
import {
  all,
  type Context,
  created,
  type DocumentsUnderTest,
  idsOf,
  newCollection,
  order,
  orders,
  readPages,
  startAnew,
  write,
} from "./documents-contract-support.ts";

/** Runs the suite on an adapter. Each test has collections of its own in one store. */
export function describeDocuments(name: string, open: () => Promise<DocumentsUnderTest>): void {
  describe(name, () => {
    let store: DocumentsUnderTest;

    beforeAll(async () => {
      store = await open();
    });
    afterAll(() => store[Symbol.asyncDispose]());
    beforeEach(async () => {
      await startAnew(store.documents);
    });

    const context: Context = { documents: () => store.documents, store: () => store };
    describe("writing", () => describeWriting(context));
    describe("loading", () => describeLoading(context));
    describe("finding", () => describeFinding(context));
    describe("paging", () => describePaging(context));
    describe("checkpoints", () => describeCheckpoints(context));
    describe("preparing", () => describePreparing(context));
    describe("dropping", () => describeDropping(context));
    describe("names and values", () => describeNames(context));
    describe("a durable store", () => describeDurability(open));
  });
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
    await write(documents(), [created("a", fields, { one: { 0: 7, 12: 9_007_199_254_740_991 }, "o-t_h3r": { 0: 1 } })]);
    expect(await documents().load(orders.name, ["a"])).toEqual([
      { id: "a", revision: 1, applied: { one: { 0: 7, 12: 9_007_199_254_740_991 }, "o-t_h3r": { 0: 1 } }, fields },
    ]);
  });

  it("a date comes back as the same moment", async () => {
    await write(documents(), [created("a", { at: new Date("2026-11-24T10:11:12.345Z") })]);
    const [document] = await documents().load(orders.name, ["a"]);
    expect(new Date(document?.fields["at"] as string | Date).toISOString()).toBe("2026-11-24T10:11:12.345Z");
  });

  it("every write raises the revision by one and replaces the fields", async () => {
    await write(documents(), [created("a", { first: 1 })]);
    await write(documents(), [{ ...created("a", { second: 2 }, { one: { 0: 2 } }), expectedRevision: 1 }]);
    expect(await documents().load(orders.name, ["a"])).toEqual([
      { id: "a", revision: 2, applied: { one: { 0: 2 } }, fields: { second: 2 } },
    ]);
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

function describeCheckpoints({ documents, store }: Context) {
  const checkpoint = (partition: number, sequence: number, collection = orders.name): Checkpoint => {
    const position = { nextOffset: sequence * 2, sequence, eventTimeMs: 1_767_225_600_000 + sequence, proof: `proof-${sequence}` };
    return { collection, stream: "stream", partition, ...position };
  };

  it("a checkpoint is the farthest that was written, per collection and partition", async () => {
    await documents().write([], [checkpoint(0, 1), checkpoint(1, 5), checkpoint(0, 9, newCollection().name)]);
    await Promise.all([2, 7, 4].map((sequence) => documents().write([], [checkpoint(0, sequence)])));
    await documents().write([], [checkpoint(0, 6)]);
    const found = await documents().checkpoints(orders.name);
    expect(found.toSorted((a, b) => a.partition - b.partition)).toEqual([checkpoint(0, 7), checkpoint(1, 5)]);
    expect(await documents().checkpoints(newCollection().name)).toEqual([]);
  });

  it("a checkpoint that comes after another is written if that is there, or a later one", async () => {
    await write(documents(), [], [checkpoint(0, 1), checkpoint(1, 1)]);
    const after = (partition: number, before: number, sequence: number) => {
      return { ...checkpoint(partition, sequence), expectedOffset: checkpoint(partition, before).nextOffset };
    };
    await write(documents(), [created("a", {})], [after(0, 1, 5), after(1, 1, 1)]);
    await write(documents(), [created("b", {})], [after(0, 3, 4), after(1, 1, 2)]);
    await write(documents(), [created("c", {})], [after(0, 3, 6)]);
    const found = await documents().checkpoints(orders.name);
    expect(found.toSorted((a, b) => a.partition - b.partition)).toEqual([checkpoint(0, 6), checkpoint(1, 2)]);
    expect(await documents().load(orders.name, ["a", "b", "c"])).toMatchObject([{ id: "a" }, { id: "b" }, { id: "c" }]);
  });

  it.each<[what: string, others: Partial<Checkpoint>]>([
    ["lower", {}],
    ["gone", { partition: 1 }],
    ["one of another stream", { stream: "other" }],
    ["one of another collection", { collection: "other" }],
  ])("nothing is written if the checkpoint that one comes after is %s, as when the documents were set back", async (_what, others) => {
    await write(documents(), [created("a", {})], [checkpoint(0, 1), checkpoint(2, 1)]);
    const expectedOffset = checkpoint(0, 2).nextOffset;
    const replaced = { ...created("a", { new: true }), expectedRevision: 1 };
    const writing = documents().write(
      [created("b", {}), replaced],
      [
        { ...checkpoint(2, 2), expectedOffset: checkpoint(2, 1).nextOffset },
        { ...checkpoint(0, 3), ...others, expectedOffset },
      ],
    );
    await expect(writing).rejects.toThrow(DocumentsSetBackError);
    expect(await documents().load(orders.name, ["a", "b"])).toMatchObject([{ revision: 1, fields: {} }, undefined]);
    const found = await documents().checkpoints(orders.name);
    expect(found.toSorted((a, b) => a.partition - b.partition)).toEqual([checkpoint(0, 1), checkpoint(2, 1)]);
  });

  it("a checkpoint of documents that were dropped is not made again by those who wrote before", async () => {
    await write(documents(), [created("a", {})], [checkpoint(0, 1)]);
    await documents().drop([orders.name]);
    const after = { ...checkpoint(0, 2), expectedOffset: checkpoint(0, 1).nextOffset };
    await expect(documents().write([created("b", {})], [after])).rejects.toThrow(DocumentsSetBackError);
    expect(await documents().checkpoints(orders.name)).toEqual([]);
    expect(await documents().load(orders.name, ["a", "b"])).toEqual([undefined, undefined]);
  });

  it("checkpoints of different streams stand beside each other", async () => {
    const other = { ...checkpoint(0, 2), stream: "$other" };
    await documents().write([], [checkpoint(0, 5), other]);
    await documents().write([], [{ ...other, nextOffset: 5, sequence: 3 }]);
    const found = await documents().checkpoints(orders.name);
    expect(found.toSorted((a, b) => b.sequence - a.sequence)).toEqual([checkpoint(0, 5), { ...other, nextOffset: 5, sequence: 3 }]);
  });

  it("news replaces what was told before, wherever that was", async () => {
    const collection = `${NEWS}${orders.name}`;
    await documents().write([], [checkpoint(0, 5, collection)]);
    await documents().write([], [checkpoint(0, 2, collection)]);
    expect(await documents().checkpoints(collection)).toEqual([checkpoint(0, 2, collection)]);
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

  it("a watcher of some names sees nothing of others", async () => {
    const stop = new AbortController();
    const collection = orders.name;
    const seen: Checkpoint[] = [];
    const arrived = Promise.withResolvers<void>();
    const note = (checkpoints: readonly Checkpoint[]): void => {
      seen.push(...checkpoints);
      if (checkpoints.some(({ sequence }) => sequence === 9)) arrived.resolve();
    };
    await documents().watchCheckpoints(note, stop.signal, `${collection}/a.`);
    await documents().write([], [checkpoint(0, 1), checkpoint(0, 2, `${collection}/ab`), checkpoint(1, 3, `${collection}/a.1`)]);
    await documents().write([], [checkpoint(2, 9, `${collection}/a.2`)]);
    await arrived.promise;
    stop.abort();
    expect(new Set(seen.map(({ sequence }) => sequence))).toEqual(new Set([3, 9]));
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

function describeDropping({ documents, store }: Context) {
  const checkpoint = (collection: string, sequence = 1) => {
    return { collection, stream: "stream", partition: 0, nextOffset: sequence, sequence, eventTimeMs: 1, proof: "" };
  };
  const paid = (id: string, collection = orders.name) => {
    return { ...order(id, { customerId: "ada", status: "PAID", total: 1, day: 1, words: ["red"] }), collection };
  };

  it("a collection goes with its documents, indexes and checkpoints, and no other does", async () => {
    const other = newCollection();
    await documents().prepare([other]);
    await using reading = await store().connect();
    await write(documents(), [paid("a"), paid("b", other.name)], [checkpoint(orders.name), checkpoint(other.name)]);
    expect(await reading.load(orders.name, ["a"])).toMatchObject([{ id: "a" }]);
    await documents().drop([orders.name, `never-${orders.name}`]);
    expect(await reading.load(orders.name, ["a"])).toEqual([undefined]);
    expect(await reading.find(all({ where: [{ field: "words", op: "eq", value: "red" }] }))).toEqual({ documents: [] });
    expect(await reading.checkpoints(orders.name)).toEqual([]);
    expect(await reading.load(other.name, ["b"])).toMatchObject([{ id: "b" }]);
    expect(await reading.checkpoints(other.name)).toEqual([checkpoint(other.name)]);
  });

  it("a collection that was dropped can be made anew, and watchers see its checkpoints", async () => {
    await using watching = await store().connect();
    const stop = new AbortController();
    const seen = createSeen();
    await watching.watchCheckpoints(seen.add, stop.signal);
    await write(documents(), [paid("a")], [checkpoint(orders.name, 9)]);
    await seen.until(({ sequence }) => sequence === 9);
    await documents().drop([orders.name]);
    await documents().prepare([orders]);
    await write(documents(), [paid("a")], [checkpoint(orders.name, 2)]);
    await seen.until(({ sequence }) => sequence === 2);
    expect(await idsOf(watching, [{ field: "words", op: "eq", value: "red" }])).toEqual(["a"]);
    stop.abort();
  });
}

function describeDurability(open: () => Promise<DocumentsUnderTest>) {
  it("keeps documents and checkpoints", async ({ skip }) => {
    await using store = await open();
    if (store.reopen === undefined) return skip("the documents do not outlive the store");
    const checkpoint = { collection: orders.name, stream: "stream", partition: 0, nextOffset: 1, sequence: 1, eventTimeMs: 1, proof: "a" };
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
