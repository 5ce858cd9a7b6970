/** Named points in the life of a process at which it can be killed or stalled: before a request, behind it, and before its answer is seen. */

export type Moment = "before" | "behind" | "answered";

export interface Point {
  /** What is requested, see `operationOf`. */
  readonly operation: string;
  readonly moment: Moment;
}

/** What the armed process does there: it dies, or its event loop stands still for so long. */
export interface Order extends Point {
  readonly stallMs: number | null;
}

/** The variable with the path of the file that holds the order. SIGUSR2 says that there is a new one. */
export const orderFileVariable = "CHAOS_ORDER";

/** The last line of a process that dies at a point. */
export const diedAtPoint = "died at a point, as it was told";

export const transactionalProduce = "Produce in a transaction";
export const documentWrites = "documents";
export const checkpointWrites = "checkpoints";

const moments: readonly Moment[] = ["before", "behind", "answered"];

function pointsOf(operations: readonly string[]): readonly Point[] {
  return operations.flatMap((operation) => moments.map((moment) => ({ operation, moment })));
}

/** The transaction from its first request to its commit, and the reply behind it. */
export const handlerPoints = pointsOf([
  "AddPartitionsToTxn",
  transactionalProduce,
  "AddOffsetsToTxn",
  "TxnOffsetCommit",
  "EndTxn",
  "Produce",
]);

/** Between documents and checkpoints, and around both. */
export const projectorPoints = pointsOf([documentWrites, checkpointWrites]);

/** Around the append of commands. */
export const commandServicePoints = pointsOf(["Produce"]);
