/** Orders to write and to look for, and what a query of them must find: the words of the document port as a few lines over an array. */

import fc from "fast-check";
import type { Condition, DocumentWrite, Fields, Find } from "../documents.ts";

/** What tells one order from another in these tests. */
export interface OrderValues {
  readonly customerId: string;
  readonly status: string;
  readonly total: number;
  readonly day: number;
  readonly words: readonly string[];
}

/** The fields of an order, some without an index. */
export function orderFields(id: string, { customerId, status, total, day, words }: OrderValues): Fields {
  const createdAt = new Date(Date.UTC(2026, 0, day));
  const unindexed = { note: `note ${id}`, tags: [`tag ${id}`, "all"], paid: status === "PAID" };
  return { customerId, status, createdAt, total: { currencyCode: "EUR", minorUnits: total }, words, ...unindexed };
}

/** The ids that a query finds, by the words of the port. */
export function modelFind(writes: readonly DocumentWrite[], { where, sort }: Pick<Find, "where" | "sort">): readonly string[] {
  const found = writes.filter(({ fields }) => where.every((condition) => holds(condition, valueAt(fields, condition.field))));
  const idDirection = sort.at(-1)?.descending === true ? -1 : 1;
  return found
    .toSorted((a, b) => {
      for (const { field, descending } of sort) {
        const ranking = compare(valueAt(a.fields, field), valueAt(b.fields, field));
        if (ranking !== 0) return descending ? -ranking : ranking;
      }
      return idDirection * compare(a.id, b.id);
    })
    .map(({ id }) => id);
}

function holds({ op, value: expected }: Condition, value: unknown): boolean {
  switch (op) {
    case "eq":
      return [value].flat().some((element) => compare(element, expected) === 0);
    case "in":
      return [value].flat().some((element) => expected.some((each) => compare(element, each) === 0));
    case "gt":
      return compare(value, expected) > 0;
    case "gte":
      return compare(value, expected) >= 0;
    case "lt":
      return compare(value, expected) < 0;
    case "lte":
      return compare(value, expected) <= 0;
  }
}

function compare(a: unknown, b: unknown): number {
  const [left, right] = [comparable(a), comparable(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}

function comparable(value: unknown): string | number {
  if (value instanceof Date) return value.getTime();
  return typeof value === "boolean" ? Number(value) : (value as string | number);
}

function valueAt(fields: Fields, path: string): unknown {
  return path.split(".").reduce<unknown>((value, name) => (value as Fields)[name], fields);
}

/** Few values of each field, so that many documents compare equal and many conditions hold. */
const anyValues: fc.Arbitrary<OrderValues> = fc.record({
  customerId: fc.constantFrom("", "a", "B", "é"),
  status: fc.constantFrom("DRAFT", "PAID"),
  total: fc.constantFrom(-1, 0, 0.5, 2, 9_007_199_254_740_991),
  day: fc.integer({ min: 1, max: 3 }),
  words: fc.array(fc.constantFrom("x", "y", "z"), { maxLength: 3 }),
});
/** The fields of any order. */
export const anyOrder = anyValues.map((values) => orderFields("any", values));
/** A change of one of 25 orders, or a new one. */
export const anyMove = fc.record({ isNew: fc.boolean(), index: fc.nat(24), to: anyValues });

const anyCondition: fc.Arbitrary<Condition> = fc.oneof(
  fc.record({ field: fc.constant("customerId"), op: fc.constantFrom("eq", "gt", "lte"), value: fc.constantFrom("", "a", "B", "é") }),
  fc.record({ field: fc.constant("status"), op: fc.constant("in"), value: fc.subarray(["DRAFT", "PAID"]) }),
  fc.record({ field: fc.constant("total.minorUnits"), op: fc.constantFrom("eq", "gte", "lt"), value: fc.constantFrom(-1, 0, 0.5, 1) }),
  fc.record({
    field: fc.constant("createdAt"),
    op: fc.constantFrom("gt", "gte", "lt"),
    value: fc.constant(new Date(Date.UTC(2026, 0, 2))),
  }),
  fc.record({ field: fc.constant("words"), op: fc.constant("eq"), value: fc.constantFrom("x", "y", "z") }),
  fc.record({ field: fc.constant("words"), op: fc.constant("in"), value: fc.subarray(["x", "y", "z"]) }),
);
const anySortField = fc.constantFrom("customerId", "status", "total.minorUnits", "createdAt", "paid");
/** Any conditions and any sort. */
export const anyQuery = fc.record({
  where: fc.array(anyCondition, { maxLength: 3 }),
  sort: fc.uniqueArray(fc.record({ field: anySortField, descending: fc.boolean() }), { maxLength: 3, selector: ({ field }) => field }),
});
