import type { DecisionContext } from "../../cqrs/aggregate.ts";

const id = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;
const lineId = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,35}$/;

/**
 * The id of what a command adds, such as a payment or a line: the caller's, or else the command's, so
 * that the same command names the same thing whenever it comes again. An operator's retry of a
 * command has the command's id with `/retry-1` behind it, and adds what the command would have added.
 */
export function idOf(given: string, { commandId }: Pick<DecisionContext, "commandId">): string {
  return given || commandId.replace(/\/.*$/, "");
}

/** Whether it may identify a payment, shipment, return or refund. It keeps "__proto__" from being a key of the state's maps. */
export function isId(text: string): boolean {
  return id.test(text);
}

export function isLineId(text: string): boolean {
  return lineId.test(text);
}

/** The value of a client-chosen key. A plain read would find "constructor" in every object. */
export function entryOf<Value>(entries: Readonly<Record<string, Value>>, key: string): Value | undefined {
  return Object.hasOwn(entries, key) ? entries[key] : undefined;
}
