/** What one response of a stream may hold: clients take 4 MiB unless told otherwise, and one item may be almost a MiB. */
const MAX_BATCH_BYTES = 1024 * 1024;

/** The items in order, in batches that a client takes. */
export function inBatches<Item>(items: readonly Item[], sizeOf: (item: Item) => number): readonly (readonly Item[])[] {
  const batches: Item[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const item of items) {
    const size = sizeOf(item);
    if (bytes + size > MAX_BATCH_BYTES) {
      batches.push([]);
      bytes = 0;
    }
    batches.at(-1)?.push(item);
    bytes += size;
  }
  return batches;
}
