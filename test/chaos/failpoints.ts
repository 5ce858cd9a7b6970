/**
 * Loaded into a process before its own code: kills or stalls it at a point that it is told. The points are requests on the wire, so that the
 * process runs the code that it always runs.
 */

import { readFileSync, writeFileSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { requestHeader } from "../support/kafka-wire.ts";
import { checkpointWrites, diedAtPoint, documentWrites, type Order, orderFileVariable, transactionalProduce } from "./points.ts";

const MONGO_HEADER_BYTES = 16;
const OP_MSG = 2013;
const NULL = Buffer.alloc(1);

/** Of writes to MongoDB only those to collections of views and checkpoints count. */
const writes: ReadonlySet<string> = new Set(["insert", "update"]);

const orderFile = process.env[orderFileVariable] ?? "";
let order: Order | undefined;

process.on("SIGUSR2", () => {
  const text = readFileSync(orderFile, "utf8");
  order = text === "" ? undefined : (JSON.parse(text) as Order);
});

const write = Socket.prototype.write;
Socket.prototype.write = function (this: Socket, ...args: Parameters<typeof write>) {
  const [bytes] = args as readonly unknown[];
  const operation = order !== undefined && Buffer.isBuffer(bytes) ? operationOf(bytes) : undefined;
  const moment = operation !== undefined && operation === order?.operation ? order.moment : undefined;
  if (moment === "before") obey();
  if (moment === "answered") this.prependOnceListener("data", obey);
  const written = write.apply(this, args);
  if (moment === "behind") obey();
  return written;
} as typeof write;

function obey(): void {
  if (order === undefined) return;
  const { stallMs } = order;
  order = undefined;
  // So that it is known to be obeyed.
  writeFileSync(orderFile, "");
  if (stallMs === null) {
    writeSync(process.stderr.fd, `${diedAtPoint}\n`);
    process.kill(process.pid, "SIGKILL");
  } else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, stallMs);
}

/** What a request asks for; undefined for what is none of Kafka or MongoDB. */
function operationOf(bytes: Buffer): string | undefined {
  if (bytes.length > MONGO_HEADER_BYTES && bytes.readInt32LE(0) === bytes.length && bytes.readInt32LE(12) === OP_MSG) {
    return mongoOperationOf(bytes);
  }
  if (bytes.length < MONGO_HEADER_BYTES || bytes.readInt32BE(0) !== bytes.length - 4) return undefined;
  const { api, isTransactional } = requestHeader(bytes);
  return isTransactional ? transactionalProduce : api;
}

/** A message begins with a document whose first field is the command, and its value the collection. */
function mongoOperationOf(bytes: Buffer): string | undefined {
  const nameAt = MONGO_HEADER_BYTES + 4 + 1 + 4 + 1;
  const nameEnd = bytes.indexOf(NULL, nameAt);
  if (!writes.has(bytes.toString("utf8", nameAt, nameEnd))) return undefined;
  const collectionAt = nameEnd + 1 + 4;
  const collection = bytes.toString("utf8", collectionAt, bytes.indexOf(NULL, collectionAt));
  return collection === "_checkpoints" ? checkpointWrites : documentWrites;
}
