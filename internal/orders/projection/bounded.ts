/** The largest integer that a document holds exactly. A sum that would pass it stays there: one absurd amount must not stop a view. */
const largest = BigInt(Number.MAX_SAFE_INTEGER);

export function bounded(sum: bigint): bigint {
  return sum > largest ? largest : sum;
}
