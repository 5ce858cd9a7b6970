import type { Condition, DocumentValue, Fields } from "../documents.ts";

/** Whether a document meets conditions, as a query of the store would find it. */
export function matches(fields: Fields, conditions: readonly Condition[]): boolean {
  return conditions.every((condition) => holds(condition, valueAt(fields, condition.field)));
}

function holds({ op, value: expected }: Condition, value: DocumentValue | undefined): boolean {
  const elements = (Array.isArray(value) ? value : [value]).map(comparable);
  if (op === "in") return elements.some((element) => expected.some((each) => element === each));
  const bound = comparable(expected);
  if (op === "eq") return elements.includes(bound);
  const [found] = elements;
  if (found === undefined || typeof found !== typeof bound) return false;
  switch (op) {
    case "gt":
      return found > bound;
    case "gte":
      return found >= bound;
    case "lt":
      return found < bound;
    case "lte":
      return found <= bound;
  }
}

/** A date may have come back as a string, and both sort alike. */
function comparable(value: unknown): string | number {
  return value instanceof Date ? value.toISOString() : (value as string | number);
}

function valueAt(fields: Fields, path: string): DocumentValue | undefined {
  return path.split(".").reduce<DocumentValue | undefined>((value, name) => (value as Fields | undefined)?.[name], fields);
}
