import type { AbortedTransaction } from "./fetch-request.ts";
import { isAbort, type RecordBatch } from "./record-batch.ts";

/**
 * The batches of a fetch without control batches and without those of aborted transactions. The broker lists aborted transactions in the
 * order of their markers, several may lie interleaved, and only an abort marker of its own producer ends one.
 */
export function* committedBatches(batches: Iterable<RecordBatch>, transactions: readonly AbortedTransaction[]): Generator<RecordBatch> {
  const aborted = transactions.toSorted((a, b) => a.firstOffset - b.firstOffset);
  const aborting = new Set<bigint>();
  let next = 0;
  for (const batch of batches) {
    for (let entry = aborted[next]; entry !== undefined && batch.lastOffset >= entry.firstOffset; entry = aborted[next]) {
      aborting.add(entry.producerId);
      next += 1;
    }
    if (!batch.isControl) {
      if (!(batch.isTransactional && aborting.has(batch.producerId))) yield batch;
    } else if (isAbort(batch)) aborting.delete(batch.producerId);
  }
}
