import type { FetchedMessage, FetchedPartition } from "./kafkajs.ts";

/**
 * The messages of a fetch without control records and without those of aborted transactions. The broker lists aborted transactions in the
 * order of their markers, several may lie interleaved, and only an abort marker of its own producer ends one.
 */
export function committedMessages({
  messages,
  abortedTransactions,
}: Pick<FetchedPartition, "messages" | "abortedTransactions">): FetchedMessage[] {
  const aborted = (abortedTransactions ?? []).toSorted((a, b) => Number(a.firstOffset) - Number(b.firstOffset));
  const aborting = new Set<string>();
  let next = 0;
  return messages.filter((message) => {
    for (let entry = aborted[next]; entry !== undefined && Number(message.offset) >= Number(entry.firstOffset); entry = aborted[next]) {
      aborting.add(entry.producerId);
      next += 1;
    }
    const { producerId, inTransaction } = message.batchContext;
    if (!message.isControlRecord) return !(inTransaction && aborting.has(producerId));
    if (isAbortMarker(message)) aborting.delete(producerId);
    return false;
  });
}

/** A control record's key is a version and a type, of 16 bits each; type 0 is an abort. */
function isAbortMarker({ key }: FetchedMessage): boolean {
  return key !== null && key.length >= 4 && key.readInt16BE(2) === 0;
}
