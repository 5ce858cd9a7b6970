const id = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;
const lineId = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,35}$/;

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
