/**
 * Finds the documents of a query by way of the indexes that have least to read. SQLite has no statistics that would tell, and none would tell
 * how often two conditions hold together; so two ways are tried in turn, each for as long as the other might take. One walks the index of the
 * sort and stops when the page is full, which is soon if what is looked for is frequent. The other gathers all that the rarest condition
 * leaves, once counting has shown that it is rare. What the first has found is the beginning of the page, whichever of them ends it.
 */

import type { SQLInputValue } from "node:sqlite";
import type { Condition, Find, Index, SortKey } from "../../cqrs/documents.ts";
import { type Branch, countStatement, pageStatement, type Statement, stopStatement } from "./find-sql.ts";
import { type CountedStart, ranked, type Start, startsOf } from "./find-starts.ts";

/** The values of a row. */
export type Values = readonly SQLInputValue[];

/** Runs a statement. */
export type Run = (statement: Statement) => readonly Values[];

/** A step reads a document. So many take some milliseconds. */
const FIRST_STEPS = 512;

/** Each walk is longer than all before it together. */
const GROWTH = 4;

/** Documents may be gathered instead of so many steps of a walk, which is not sure to end. */
const DOCUMENTS_PER_STEP = 2;

/** So much of an index is read in the time of a step. */
const ENTRIES_PER_STEP = 16;

/** What so many times more documents fulfil is looked for in each document: an index would have more to read. */
const SIMILAR_RATIO = 8;

/** Whatever is rare is found in the first round; in the later and longer ones only so many of the rarest are counted on. */
const MAX_COUNTED = 8;

/** More values than this are not worth a walk each. */
const MAX_SPLIT_VALUES = 16;

/** The keys of a page's documents, each of which ends in its id, and one more. Tests begin with fewer steps, so that little is much. */
export function findRows(query: Find, indexes: readonly Index[], run: Run, firstSteps = FIRST_STEPS): readonly Values[] {
  const starts = startsOf(query, indexes);
  if (starts.length === 0) return run(pageStatement([{ query }], indexes));
  const straight = walkOf(query, starts, indexes);
  if (straight?.every(({ query: { where }, start }) => start?.conditions.length === where.length))
    return run(pageStatement(straight, indexes));

  const found: Values[] = [];
  let rest = query;
  let counted: readonly CountedStart[] = [];
  let rare: readonly CountedStart[] = [];
  // Two more walks like the last one would fill the page.
  let isSoonFull = false;
  for (let steps = firstSteps; ; steps *= GROWTH) {
    const isFirst = steps === firstSteps;
    const limit = steps * (isFirst ? DOCUMENTS_PER_STEP : ENTRIES_PER_STEP);
    if (!isSoonFull) {
      const rarest = isFirst ? starts : counted.slice(0, MAX_COUNTED).map(({ start }) => start);
      counted = ranked(starts, (start) =>
        rarest.includes(start) ? Number(run(countStatement(query, start, indexes, limit))[0]?.[0]) : Number.POSITIVE_INFINITY,
      );
      rare = counted.filter(({ count }) => count < limit);
    }
    const gathering = gatheringOf(rest, rare, { steps, isFirst, isSoonFull });
    if (gathering !== undefined) return [...found, ...run(pageStatement([gathering], indexes))];
    const order = counted.map(({ start }) => start);
    const walk = walkOf(rest, order, indexes)?.map((branch) => filtered(branch, rare));
    if (walk === undefined) continue;
    const until = sortKeyOf(run(stopStatement(walk, indexes, walk.every(readsIndexes) ? limit : steps))[0]);
    const next = run(pageStatement(walk, indexes, until));
    found.push(...next);
    if (until === undefined || found.length > query.limit) return found;
    rest = { ...rest, after: until, limit: query.limit - found.length };
    isSoonFull = next.length * GROWTH * 2 > rest.limit;
  }
}

/** Everything at the rarest start, if that is little, or if the indexes tell what of it is to be read and the walk is not likely to end. */
function gatheringOf(
  query: Find,
  rare: readonly CountedStart[],
  { steps, isFirst, isSoonFull }: { readonly steps: number; readonly isFirst: boolean; readonly isSoonFull: boolean },
): Branch | undefined {
  const [rarest] = rare;
  if (rarest === undefined) return undefined;
  const { start, count } = rarest;
  // So few documents cost less than what other indexes have of theirs.
  if (isFirst) return { query, start };
  const similar = rare.filter((each) => each.count <= count * SIMILAR_RATIO);
  const branch = { ...filtered({ query, start }, similar), beside: besideOf(query, start, similar) };
  return count < steps * DOCUMENTS_PER_STEP || (!isSoonFull && readsIndexes(branch)) ? branch : undefined;
}

function besideOf(query: Find, start: Start, similar: readonly CountedStart[]): readonly Condition[] {
  const elements = otherElements(query, start);
  return similar.flatMap((each) => each.start.conditions.slice(0, 1)).filter((condition) => elements.includes(condition));
}

/** Looks the ids up in what other indexes have of them, before a document is read. Entries of one index are looked up without that. */
function filtered(branch: Branch, rare: readonly CountedStart[]): Branch {
  const held = new Set(branch.start?.conditions);
  const sets: Start[] = [];
  for (const { start } of rare) {
    const isNew = start.conditions.some((condition) => !held.has(condition));
    const isOfBranch = start.conditions.every((condition) => branch.query.where.includes(condition));
    if (!isNew || !isOfBranch || (start.index.multikey === true && start.index === branch.start?.index)) continue;
    sets.push(start);
    for (const condition of start.conditions) held.add(condition);
  }
  return { ...branch, sets };
}

function readsIndexes({ query, start, sets = [] }: Branch): boolean {
  return sets.length > 0 || (start !== undefined && otherElements(query, start).length > 0);
}

/** The other conditions on the elements of a start. */
function otherElements({ where }: Find, { index, conditions }: Start): readonly Condition[] {
  if (index.multikey !== true) return [];
  return where.filter((condition) => condition.op === "eq" && condition.field === index.fields[0] && condition !== conditions[0]);
}

/** The first start that lies in the order of the query, or a walk for each value of a list that the index of the sort is divided by. */
function walkOf(query: Find, starts: readonly Start[], indexes: readonly Index[]): readonly Branch[] | undefined {
  const sorted = starts.filter(({ isSorted }) => isSorted);
  const start = sorted.find(({ conditions }) => conditions.length > 0);
  if (start !== undefined) return [{ query, start }];
  const [whole] = sorted;
  return splitWalk(query, indexes) ?? (whole && [{ query, start: whole }]);
}

function splitWalk(query: Find, indexes: readonly Index[]): readonly Branch[] | undefined {
  for (const list of query.where) {
    if (list.op !== "in" || list.value.length < 2 || list.value.length > MAX_SPLIT_VALUES) continue;
    const branches = [...new Set(list.value)].map((value): Branch => {
      const equal: Condition = { field: list.field, op: "eq", value };
      const branch = { ...query, where: query.where.map((condition) => (condition === list ? equal : condition)) };
      return { query: branch, start: startsOf(branch, indexes).find(({ isSorted, conditions }) => isSorted && conditions.includes(equal)) };
    });
    if (branches.every(({ start }) => start !== undefined && start.index.multikey !== true)) return branches;
  }
  return undefined;
}

/** A key without a value for a field cannot be gone on from. */
function sortKeyOf(key: Values | undefined): SortKey | undefined {
  const values = key?.filter((value) => typeof value === "string" || typeof value === "number");
  return values?.length === key?.length ? values : undefined;
}
