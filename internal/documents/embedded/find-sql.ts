/** Translates a query of the port into SQL that starts where it is told to. */

import type { SQLInputValue } from "node:sqlite";
import { type Condition, type Find, type Index, type SortKey, SortKeyError } from "../../cqrs/documents.ts";
import type { Start } from "./find-starts.ts";
import { documentsTable, entriesTable, extract, indexName, path } from "./schema.ts";

export interface Statement {
  readonly sql: string;
  readonly values: readonly SQLInputValue[];
}

/** A query, or one of several whose results are merged, and where it starts: where SQLite likes to, if nothing is said. */
export interface Branch {
  readonly query: Find;
  readonly start?: Start | undefined;
  /** Conditions on elements whose entries are read side by side with the start's: what all have is found without looking each up. */
  readonly beside?: readonly Condition[];
  /** What else the ids are of: each start is put together once, and their conditions need not be looked at. */
  readonly sets?: readonly Start[];
}

/** The keys of a page and of one document more, none of them behind a key, if there is one. What is sorted on the way is only these. */
export function pageStatement(branches: readonly Branch[], indexes: readonly Index[], until?: SortKey): Statement {
  const columns = keyColumns(branches);
  const merged = { columns, limit: (branches[0]?.query.limit ?? 0) + 1 };
  return merge(branches, merged, (branch, bind) => {
    const { query, start, beside = [], sets = [] } = branch;
    const scope = scopeOf(branch, indexes, bind);
    const from = fromSql(branch, scope);
    const documents = scope.isOfEntries ? ` CROSS JOIN ${documentsTable(query.collection)} AS doc ON doc.id = entry.id` : "";
    const held = new Set([...beside, ...windowConditions(query), ...[start, ...sets].flatMap((each) => each?.conditions ?? [])]);
    const filters = query.where.filter((condition) => !held.has(condition));
    const conditions = [
      ...startSql(branch, scope),
      ...windowSql(query, scope, until),
      ...sets.map((set) => `${scope.id} IN (${idsSql({ query, start: set }, indexes, bind)})`),
      ...filters.map((condition) => conditionSql(condition, scope)),
    ];
    return `SELECT ${keySql(scope)} FROM ${from}${documents}${whereSql(conditions)} ${orderSql(scope.order)} LIMIT ${bind(merged.limit)}`;
  });
}

/** The key so many steps ahead of a query's beginning, or of that of its branches where it comes first. */
export function stopStatement(branches: readonly Branch[], indexes: readonly Index[], steps: number): Statement {
  return merge(branches, { columns: keyColumns(branches), limit: 1 }, ({ query, start }, bind) => {
    const scope = scopeOf({ query, start }, indexes, bind);
    const from = fromSql({ query, start }, scope);
    const conditions = [...startSql({ query, start }, scope), ...windowSql(query, scope)];
    return `SELECT ${keySql(scope)} FROM ${from}${whereSql(conditions)} ${orderSql(scope.order)} LIMIT 1 OFFSET ${bind(steps - 1)}`;
  });
}

/** The values that a query is sorted by, and last the id. */
function keyColumns([branch]: readonly Branch[]): readonly string[] {
  return [...(branch?.query.sort ?? []), "id"].map((_, position) => `k${position}`);
}

function keySql({ order }: Scope): string {
  return order.map(({ sql }, position) => `${sql} AS k${position}`).join(", ");
}

/** How much there is at a start, counted up to a limit. */
export function countStatement(query: Find, start: Start, indexes: readonly Index[], limit: number): Statement {
  return bound((bind) => `SELECT count(*) FROM (${idsSql({ query, start }, indexes, bind)} LIMIT ${bind(limit)})`);
}

type Bind = (value: unknown) => string;

/** Values are bound in the order of the text. */
function bound(sqlOf: (bind: Bind) => string): Statement {
  const values: SQLInputValue[] = [];
  const sql = sqlOf((value) => {
    values.push(bindable(value));
    return "?";
  });
  return { sql, values };
}

/** Branches differ in their conditions only. Each finds its first ones, and only these need sorting. */
function merge(
  branches: readonly Branch[],
  { columns, limit }: { readonly columns: readonly string[]; readonly limit: number },
  sqlOf: (branch: Branch, bind: Bind) => string,
): Statement {
  return bound((bind) => {
    const parts = branches.map((branch) => sqlOf(branch, bind));
    if (parts.length === 1) return parts.join("");
    const sort = branches[0]?.query.sort ?? [];
    const order = columns.map((sql, position) => ({ sql, descending: (sort[position] ?? sort.at(-1))?.descending ?? false }));
    const all = parts.map((part) => `SELECT * FROM (${part})`).join(" UNION ALL ");
    return `SELECT * FROM (${all}) ${orderSql(order)} LIMIT ${bind(limit)}`;
  });
}

/** A column that a query is sorted by. */
interface Column {
  readonly sql: string;
  readonly descending: boolean;
}

/** How the fields of a branch are said in SQL: those that the entries of its start have are read from these. */
interface Scope {
  readonly indexes: readonly Index[];
  readonly collection: string;
  readonly isOfEntries: boolean;
  readonly id: string;
  /** The sort, then the id. */
  readonly order: readonly Column[];
  column(field: string): string;
  readonly bind: Bind;
}

function scopeOf({ query, start }: Branch, indexes: readonly Index[], bind: Bind): Scope {
  const { collection, sort } = query;
  const isOfEntries = start?.index.multikey === true;
  const id = isOfEntries ? "entry.id" : "doc.id";
  const column = (field: string): string => {
    const position = isOfEntries ? start.index.fields.indexOf(field) : -1;
    return position > 0 ? `entry.f${position}` : extract("doc.fields", field);
  };
  const order = sort.map(({ field, descending }) => ({ sql: column(field), descending }));
  order.push({ sql: id, descending: sort.at(-1)?.descending ?? false });
  return { indexes, collection, isOfEntries, id, order, column, bind };
}

function fromSql({ query: { collection }, start, beside = [] }: Branch, scope: Scope): string {
  if (start === undefined) return `${documentsTable(collection)} AS doc`;
  const { index, conditions } = start;
  if (!scope.isOfEntries) return `${documentsTable(collection)} AS doc INDEXED BY ${indexName(collection, index.name)}`;
  const entries = `${entriesTable(collection, index.name)} AS entry`;
  if (beside.length === 0) return entries;
  const [first, ...further] = conditions;
  const columns = [...index.fields.slice(1).map((_, position) => `f${position + 1}`), "id"].map((name) => `entry.${name} AS ${name}`);
  const parts = [...(first === undefined ? [] : [first]), ...beside].map(
    (element) => `SELECT ${columns.join(", ")} FROM ${entries}${whereSql(entrySql([element, ...further], scope))}`,
  );
  // Sorted, they are merged as they come; otherwise each would first be put aside.
  return `(${parts.join(" INTERSECT ")} ORDER BY ${columns.map((_, position) => position + 1).join(", ")}) AS entry`;
}

function idsSql({ query, start }: Branch, indexes: readonly Index[], bind: Bind): string {
  const branch = { query: { ...query, sort: [] }, start };
  const scope = scopeOf(branch, indexes, bind);
  return `SELECT ${scope.id} FROM ${fromSql(branch, scope)}${whereSql(startSql(branch, scope))}`;
}

/** But for the conditions that are part of the query's window. */
function startSql({ query, start, beside = [] }: Branch, scope: Scope): string[] {
  if (start === undefined || beside.length > 0) return [];
  const window = windowConditions(query);
  const conditions = start.conditions.filter((condition) => !window.includes(condition));
  return scope.isOfEntries ? entrySql(conditions, scope) : conditions.map((condition) => conditionSql(condition, scope));
}

function entrySql([element, ...further]: readonly Condition[], scope: Scope): string[] {
  if (element === undefined) return [];
  return [`entry.f0 = ${scope.bind(element.value)}`, ...further.map((condition) => conditionSql(condition, scope))];
}

const operators = { gt: ">", gte: ">=", lt: "<", lte: "<=" } as const;

function conditionSql(condition: Condition, scope: Scope): string {
  const { column, bind } = scope;
  const { field, op, value } = condition;
  if (op !== "eq" && op !== "in") return `${column(field)} ${operators[op]} ${bind(value)}`;
  // A list is one value in JSON: whatever its length, the statement is the same.
  const holds = op === "eq" ? `= ${bind(value)}` : `IN (SELECT value FROM json_each(${bind(JSON.stringify(value))}))`;
  const multikey = scope.indexes.find((index) => index.multikey === true && index.fields[0] === field);
  if (multikey !== undefined) return elementSql(op, holds, multikey, scope);
  if (scope.indexes.some(({ fields }) => fields.includes(field))) return `${column(field)} ${holds}`;
  // Without an index nobody has said whether it is an array; of a single value this is the value itself.
  return found(`json_each(doc.fields, ${path(field)}) WHERE value ${holds}`);
}

function elementSql(op: "eq" | "in", holds: string, index: Index, { collection, id, column }: Scope): string {
  const entries = `${entriesTable(collection, index.name)} AS element`;
  if (op === "in") return `${id} IN (SELECT element.id FROM ${entries} WHERE element.f0 ${holds})`;
  // With all further fields the entry is found in one step.
  const further = index.fields.slice(1).map((field, position) => `element.f${position + 1} IS ${column(field)} AND `);
  return found(`${entries} WHERE element.f0 ${holds} AND ${further.join("")}element.id = ${id}`);
}

/**
 * As a value, which SQLite looks up per row. An EXISTS becomes a join, and to plan the joins of many conditions takes time that grows with the
 * third power of their number.
 */
function found(from: string): string {
  return `(SELECT 1 FROM ${from} LIMIT 1) IS NOT NULL`;
}

/** The ranges of the field that a query is sorted by first. */
function windowConditions({ where, sort: [first] }: Find): readonly Condition[] {
  return where.filter(({ field, op }) => field === first?.field && op in operators);
}

/**
 * What of the sort a query is about: its ranges, what is behind a key, and what is up to another. An index takes one bound on each side, so it
 * is given the narrowest of them; the plus keeps it from taking another.
 */
function windowSql(query: Find, scope: Scope, until?: SortKey): string[] {
  const { order, bind } = scope;
  const [first] = order;
  if (first === undefined) return [];
  const ranges = windowConditions(query);
  const after = query.after && checkedKey(query, query.after);
  const lower = ranges.filter(({ op }) => op === "gt" || op === "gte").map(({ value }): unknown => value);
  const upper = ranges.filter(({ op }) => op === "lt" || op === "lte").map(({ value }): unknown => value);
  if (after !== undefined) (first.descending ? upper : lower).push(after[0]);
  if (until !== undefined) (first.descending ? lower : upper).push(until[0]);
  const narrowest = (choose: "max" | "min", values: readonly unknown[]): string =>
    values.length === 1 ? bind(values[0]) : `${choose}(${values.map(bind).join(", ")})`;
  return [
    ...(lower.length === 0 ? [] : [`${first.sql} >= ${narrowest("max", lower)}`]),
    ...(upper.length === 0 ? [] : [`${first.sql} <= ${narrowest("min", upper)}`]),
    ...ranges.map((range) => conditionSql(range, { ...scope, column: (field) => `+${scope.column(field)}` })),
    ...(after === undefined ? [] : [boundSql(order, after, { isUpper: false, bind })]),
    ...(until === undefined ? [] : [boundSql(order, until, { isUpper: true, bind })]),
  ];
}

/** Everything behind a key: behind its first value, or equal in that and behind the others. As an upper bound, everything up to it and itself. */
function boundSql(columns: readonly Column[], key: readonly unknown[], to: { readonly isUpper: boolean; readonly bind: Bind }): string {
  const [first, ...rest] = columns;
  if (first === undefined) return to.isUpper ? "TRUE" : "FALSE";
  const operator = first.descending === to.isUpper ? ">" : "<";
  const value = (): string => to.bind(key[0]);
  return `(+${first.sql} ${operator} ${value()} OR (+${first.sql} = ${value()} AND ${boundSql(rest, key.slice(1), to)}))`;
}

function checkedKey({ sort }: Find, key: readonly unknown[]): readonly unknown[] {
  if (key.length !== sort.length + 1)
    throw new SortKeyError(`a sort key of ${key.length} values does not fit a sort by ${sort.length} fields`);
  if (typeof key.at(-1) !== "string") throw new SortKeyError("a sort key must end in an id");
  for (const value of key) {
    if (!isSortValue(value)) throw new SortKeyError("a sort key must consist of strings, numbers, booleans and dates");
  }
  return key;
}

function isSortValue(value: unknown): boolean {
  return ["string", "number", "boolean"].includes(typeof value) || (value instanceof Date && !Number.isNaN(value.getTime()));
}

function whereSql(conditions: readonly string[]): string {
  return conditions.length === 0 ? "" : ` WHERE ${conditions.join(" AND ")}`;
}

function orderSql(columns: readonly Column[]): string {
  return `ORDER BY ${columns.map(({ sql, descending }) => `${sql} ${descending ? "DESC" : "ASC"}`).join(", ")}`;
}

function bindable(value: unknown): SQLInputValue {
  if (value instanceof Date) return value.toISOString();
  if (typeof value === "boolean") return value ? 1 : 0;
  return value as SQLInputValue;
}
