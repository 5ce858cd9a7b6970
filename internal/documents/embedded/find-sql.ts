/** Translates a query of the port into SQL that the indexes of the collection serve. */

import type { SQLInputValue } from "node:sqlite";
import { type Condition, type Find, type Index, SortKeyError } from "../../cqrs/documents.ts";
import { documentsTable, entriesTable, extract, path } from "./schema.ts";

export interface Statement {
  readonly sql: string;
  readonly values: readonly SQLInputValue[];
}

/** The statement for a page and one document more. */
export function findStatement(query: Find, indexes: readonly Index[]): Statement {
  const values: SQLInputValue[] = [];
  const bind = (value: unknown): string => {
    values.push(bindable(value));
    return "?";
  };
  const list = splitCondition(query, indexes);
  const sql = list === undefined ? selectSql(query, indexes, bind) : mergeSql(query, list, indexes, bind);
  return { sql, values };
}

type ListCondition = Extract<Condition, { readonly op: "in" }>;

/** More values than this are not worth a query each. */
const maxSplitValues = 16;

/**
 * The condition on several values of a field whose index goes on with the sort. By itself it would have all documents of all values sorted;
 * a query per value finds its first ones in the index, and only these need merging.
 */
function splitCondition({ where, sort }: Find, indexes: readonly Index[]): ListCondition | undefined {
  if (where.some((condition) => isDriver(condition, indexes))) return undefined;
  return where.find((condition): condition is ListCondition => {
    const { field, op, value } = condition;
    if (op !== "in" || value.length < 2 || value.length > maxSplitValues) return false;
    return indexes.some(({ fields, multikey }) => multikey !== true && fields[0] === field && fields[1] === sort[0]?.field);
  });
}

function mergeSql(query: Find, list: ListCondition, indexes: readonly Index[], bind: Bind): string {
  const selects = [...new Set(list.value)].map((value) => {
    const where = query.where.map((condition) => (condition === list ? ({ field: list.field, op: "eq", value } as const) : condition));
    return `SELECT * FROM (${selectSql({ ...query, where }, indexes, bind)})`;
  });
  const order = query.sort.map(({ field, descending }) => `${extract("fields", field)} ${direction(descending)}, `);
  return (
    `SELECT id, revision, applied, fields FROM (${selects.join(" UNION ALL ")}) ` +
    `ORDER BY ${order.join("")}id ${direction(query.sort.at(-1)?.descending)} LIMIT ${bind(query.limit + 1)}`
  );
}

/**
 * Of the conditions on array elements, one drives: it walks the entries of its index, which lie in the order of the index's further fields,
 * and so a sort by these needs no sorting.
 */
function selectSql(query: Find, indexes: readonly Index[], bind: Bind): string {
  const { collection, where, sort, after, limit } = query;
  const driver = where.find((condition) => isDriver(condition, indexes));
  const driving = driver && multikeyIndex(indexes, driver.field);
  const id = driving === undefined ? "doc.id" : "entry.id";
  const column = (field: string): string => {
    const position = driving?.fields.indexOf(field) ?? -1;
    return position > 0 ? `entry.f${position}` : extract("doc.fields", field);
  };

  const columns = sort.map(({ field, descending }) => ({ sql: column(field), descending }));
  columns.push({ sql: id, descending: sort.at(-1)?.descending ?? false });
  const conditions = where.map((condition) => {
    if (condition === driver) return `entry.f0 = ${bind(condition.value)}`;
    return conditionSql(condition, { indexes, collection, id, column, bind });
  });
  if (after !== undefined) conditions.push(afterSql(columns, checkedKey(query, after), bind));

  const documents = `${documentsTable(collection)} AS doc`;
  const entries = driving && `${entriesTable(collection, driving.name)} AS entry`;
  const from = entries === undefined ? documents : `${entries} CROSS JOIN ${documents} ON doc.id = entry.id`;
  const order = columns.map((each) => `${each.sql} ${direction(each.descending)}`);
  return (
    `SELECT doc.id AS id, doc.revision AS revision, doc.applied AS applied, doc.fields AS fields FROM ${from}` +
    (conditions.length === 0 ? "" : ` WHERE ${conditions.join(" AND ")}`) +
    ` ORDER BY ${order.join(", ")} LIMIT ${bind(limit + 1)}`
  );
}

type Bind = (value: unknown) => string;

interface Scope {
  readonly indexes: readonly Index[];
  readonly collection: string;
  readonly id: string;
  column(field: string): string;
  readonly bind: Bind;
}

const operators = { gt: ">", gte: ">=", lt: "<", lte: "<=" } as const;

function conditionSql(condition: Condition, scope: Scope): string {
  const { column, bind } = scope;
  const { field, op, value } = condition;
  if (op !== "eq" && op !== "in") return `${column(field)} ${operators[op]} ${bind(value)}`;
  // A list is one value in JSON: whatever its length, the statement is the same.
  const holds = op === "eq" ? `= ${bind(value)}` : `IN (SELECT value FROM json_each(${bind(JSON.stringify(value))}))`;
  const multikey = multikeyIndex(scope.indexes, field);
  if (multikey !== undefined) return elementSql(op, holds, multikey, scope);
  if (scope.indexes.some(({ fields }) => fields.includes(field))) return `${column(field)} ${holds}`;
  // Without an index nobody has said whether it is an array; of a single value this is the value itself.
  return `EXISTS (SELECT 1 FROM json_each(doc.fields, ${path(field)}) WHERE value ${holds})`;
}

function elementSql(op: "eq" | "in", holds: string, index: Index, { collection, id, column }: Scope): string {
  const entries = `${entriesTable(collection, index.name)} AS element`;
  if (op === "in") return `${id} IN (SELECT element.id FROM ${entries} WHERE element.f0 ${holds})`;
  // With all further fields the entry is found in one step.
  const further = index.fields.slice(1).map((field, position) => `element.f${position + 1} IS ${column(field)} AND `);
  return `EXISTS (SELECT 1 FROM ${entries} WHERE element.f0 ${holds} AND ${further.join("")}element.id = ${id})`;
}

/** Everything behind a key: behind its first value, or equal in that and behind the others. The bound on the first serves the index. */
function afterSql(columns: readonly { readonly sql: string; readonly descending: boolean }[], key: readonly unknown[], bind: Bind): string {
  const [first, ...rest] = columns;
  if (first === undefined) return "FALSE";
  const operator = first.descending ? "<" : ">";
  if (rest.length === 0) return `${first.sql} ${operator} ${bind(key[0])}`;
  return (
    `(${first.sql} ${operator}= ${bind(key[0])} AND ` +
    `(${first.sql} ${operator} ${bind(key[0])} OR ${afterSql(rest, key.slice(1), bind)}))`
  );
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

function isDriver({ op, field }: Condition, indexes: readonly Index[]): boolean {
  return op === "eq" && multikeyIndex(indexes, field) !== undefined;
}

function direction(descending = false): "DESC" | "ASC" {
  return descending ? "DESC" : "ASC";
}

function multikeyIndex(indexes: readonly Index[], field: string): Index | undefined {
  return indexes.find(({ multikey, fields }) => multikey === true && fields[0] === field);
}

function bindable(value: unknown): SQLInputValue {
  if (value instanceof Date) return value.toISOString();
  if (typeof value === "boolean") return value ? 1 : 0;
  return value as SQLInputValue;
}
