/** The part of the document contract that is about queries and their pages. */

import fc from "fast-check";
import { expect, it } from "vitest";
import { type Condition, type Find, type SortKey, SortKeyError } from "../documents.ts";
import { all, type Context, created, idsOf, order, orders, readPages, startAnew, write } from "./documents-contract-support.ts";
import { anyMove, anyOrder, anyQuery, modelFind } from "./documents-model.ts";

/** Every operator, and any combination. */
export function describeFinding({ documents }: Context) {
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

  it("as many conditions as a request can make, and the longest list of values", async () => {
    const words = Array.from({ length: 40 }, (_, index) => `word${index}`);
    const fields = { customerId: "ada", status: "PAID", total: 100, day: 1 };
    await write(documents(), [order("all", { ...fields, words }), order("but one", { ...fields, words: words.slice(1) })]);
    const where: readonly Condition[] = [
      ...words.map((value): Condition => ({ field: "words", op: "eq", value })),
      { field: "status", op: "in", value: [...Array.from({ length: 10_000 }, (_, index) => `status ${index}`), "PAID"] },
      { field: "createdAt", op: "gte", value: day(1) },
      { field: "createdAt", op: "lt", value: day(2) },
      { field: "total.minorUnits", op: "gte", value: 1 },
      { field: "total.minorUnits", op: "lte", value: 100 },
      { field: "note", op: "eq", value: "note all" },
    ];
    for (const field of ["createdAt", "total.minorUnits", "customerId"]) {
      const page = await documents().find(all({ where, sort: [{ field, descending: true }] }));
      expect(page.documents.map(({ id }) => id)).toEqual(["all"]);
    }
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
        await startAnew(documents());
        const writes = fields.map((each, index) => created(String(index), each));
        await write(documents(), writes);
        const page = await documents().find(all(query));
        expect(page.documents.map(({ id }) => id)).toEqual(modelFind(writes, query));
      }),
      { numRuns: 60 },
    ));
}

/** Pages that follow each other, whatever is written meanwhile. */
export function describePaging({ documents }: Context) {
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

  it.each(sorts)("pages %s end early rather than hold too many bytes, behind one document at least", async (_title, sort) => {
    const large = manyOrders().map((each) => ({ ...each, fields: { ...each.fields, text: "€".repeat(1_000) } }));
    await write(documents(), large);
    const expected = modelFind(large, { where: [], sort });
    for (const [maxBytes, size] of [
      [8_000, 2],
      [1, 1],
    ] as const) {
      const pages = await readPages(documents(), all({ sort, limit: 100, maxBytes }));
      expect(pages.map((page) => page.length)).toEqual([
        ...Array<number>(Math.floor(large.length / size)).fill(size),
        ...(size === 2 ? [1] : []),
      ]);
      expect(pages.flat()).toEqual(expected);
    }
  });

  it("a page holds no more than clients take, if nobody says how much", async () => {
    const large = manyOrders()
      .slice(0, 5)
      .map((each) => ({ ...each, fields: { ...each.fields, text: "€".repeat(400_000) } }));
    await write(documents(), large);
    const pages = await readPages(documents(), all({ sort: [], limit: 100 }));
    expect(pages.map((page) => page.length)).toEqual([2, 2, 1]);
  });

  it("a document that stands still is on exactly one page, whatever moves meanwhile", () =>
    fc.assert(
      fc.asyncProperty(fc.constantFrom(...sorts), fc.array(anyMove, { minLength: 1, maxLength: 8 }), async ([, sort], moves) => {
        await startAnew(documents());
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
