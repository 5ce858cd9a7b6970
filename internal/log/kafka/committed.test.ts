import { expect, it } from "vitest";
import { committedBatches } from "./committed.ts";
import type { RecordBatch } from "./record-batch.ts";

const A = 1n;
const B = 2n;

it("a batch of an aborted transaction is left out, one of a committed one is not", () => {
  expect(visible([data(0, A), data(1, B), abort(2, A), commit(3, B)], [[A, 0]])).toEqual([1]);
});

it("transactions that lie interleaved are told apart, in whatever order the broker lists them", () => {
  const batches = [data(0, A), data(1, B), data(2, A), abort(3, B), data(4, B), abort(5, A), commit(6, B)];
  const listed: readonly (readonly [bigint, number])[] = [
    [B, 1],
    [A, 0],
  ];
  expect(visible(batches, listed)).toEqual([4]);
  expect(visible(batches, listed.toReversed())).toEqual([4]);
});

it("several transactions that begin before one batch are all known at it", () => {
  expect(
    visible(
      [data(5, A), data(6, B), abort(7, A), abort(8, B)],
      [
        [A, 1],
        [B, 2],
      ],
    ),
  ).toEqual([]);
});

it("a transaction is known in the batch in the middle of which it begins", () => {
  const compacted = { ...data(3, A), firstOffset: 0 };
  expect(visible([compacted, abort(4, A)], [[A, 2]])).toEqual([]);
});

it("a data record whose key looks like an abort marker ends nothing", () => {
  const disguised = { ...data(1, A), packed: marker(0) };
  expect(visible([data(0, A), disguised, data(2, A), abort(3, A)], [[A, 0]])).toEqual([]);
});

it("a commit marker does not end an aborted transaction of another producer", () => {
  expect(visible([data(0, A), commit(1, B), data(2, A), abort(3, A)], [[A, 0]])).toEqual([]);
});

it("batches outside transactions are always visible", () => {
  expect(visible([data(0, A), { ...data(1, A), isTransactional: false }, abort(2, A)], [[A, 0]])).toEqual([1]);
});

function visible(batches: readonly RecordBatch[], aborted: readonly (readonly [bigint, number])[]): number[] {
  const transactions = aborted.map(([producerId, firstOffset]) => ({ producerId, firstOffset }));
  return [...committedBatches(batches, transactions)].map(({ lastOffset }) => lastOffset);
}

function data(offset: number, producerId: bigint): RecordBatch {
  return {
    firstOffset: offset,
    lastOffset: offset,
    producerId,
    isTransactional: true,
    isControl: false,
    count: 1,
    attributes: 0,
    firstTimestampMs: 0,
    lastTimestampMs: 0,
    packed: Buffer.alloc(0),
  };
}

function abort(offset: number, producerId: bigint): RecordBatch {
  return { ...data(offset, producerId), isControl: true, packed: marker(0) };
}

function commit(offset: number, producerId: bigint): RecordBatch {
  return { ...data(offset, producerId), isControl: true, packed: marker(1) };
}

/** A record with nothing but a key: a version and a type. */
function marker(type: number): Buffer {
  return Buffer.from([20, 0, 0, 0, 8, 0, 0, 0, type, 1, 0]);
}
