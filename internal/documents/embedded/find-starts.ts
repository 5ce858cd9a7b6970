/** The parts of indexes that a query may start from. */

import type { Condition, Find, Index } from "../../cqrs/documents.ts";

export interface Start {
  readonly index: Index;
  /** Those that choose the part. Of a multikey index, the first is the one on its elements. */
  readonly conditions: readonly Condition[];
  /** The index has the part in the order of the query. */
  readonly isSorted: boolean;
}

/** A start and how much there is, counted up to some limit. */
export interface CountedStart {
  readonly start: Start;
  readonly count: number;
}

/** Where a query may start: those that most conditions lead to come first. */
export function startsOf({ where, sort }: Find, indexes: readonly Index[]): readonly Start[] {
  const starts = indexes.flatMap((index) => {
    if (index.multikey !== true) return startOf(index, [], { where, sort });
    const elements = where.filter(({ field, op }) => op === "eq" && field === index.fields[0]);
    return elements.map((element) => startOf(index, [element], { where, sort }));
  });
  return starts
    .filter(({ conditions, isSorted }) => isSorted || conditions.length > 0)
    .toSorted((a, b) => b.conditions.length - a.conditions.length);
}

/** An index is of use as far as its fields have one value each, and in the next one. */
function startOf(index: Index, elements: readonly Condition[], { where, sort }: Pick<Find, "where" | "sort">): Start {
  const conditions = [...elements];
  for (const field of index.fields.slice(conditions.length)) {
    const equal = where.find((condition) => condition.field === field && condition.op === "eq");
    if (equal === undefined) break;
    conditions.push(equal);
  }
  const open = index.fields.slice(conditions.length);
  const further = where.filter(({ field }) => field === open[0]);
  const list = further.find(({ op }) => op === "in");
  const isSorted =
    list === undefined &&
    open.length === sort.length &&
    sort.every(({ field, descending }, position) => field === open[position] && descending === sort.at(-1)?.descending);
  return { index, conditions: [...conditions, ...(list === undefined ? further : [list])], isSorted };
}

/** The rarest first, and of equally rare ones what needs no sorting. */
export function ranked(starts: readonly Start[], countOf: (start: Start) => number): readonly CountedStart[] {
  return starts
    .map((start) => ({ start, count: start.conditions.length === 0 ? Number.POSITIVE_INFINITY : countOf(start) }))
    .toSorted((a, b) => a.count - b.count || Number(b.start.isSorted) - Number(a.start.isSorted));
}
