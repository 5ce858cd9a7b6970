import { expect, it } from "vitest";
import { committedMessages } from "./committed.ts";
import type { FetchedMessage } from "./kafkajs.ts";

it("a message of an aborted transaction is left out, one of a committed one is not", () => {
  expect(visible([data(0, "a"), data(1, "b"), abort(2, "a"), commit(3, "b")], [["a", 0]])).toEqual([1]);
});

it("transactions that lie interleaved are told apart, in whatever order the broker lists them", () => {
  const messages = [data(0, "a"), data(1, "b"), data(2, "a"), abort(3, "b"), data(4, "b"), abort(5, "a"), commit(6, "b")];
  const listed: readonly (readonly [string, number])[] = [
    ["b", 1],
    ["a", 0],
  ];
  expect(visible(messages, listed)).toEqual([4]);
  expect(visible(messages, listed.toReversed())).toEqual([4]);
});

it("several transactions that begin before one message are all known at it", () => {
  expect(
    visible(
      [data(5, "a"), data(6, "b"), abort(7, "a"), abort(8, "b")],
      [
        ["a", 1],
        ["b", 2],
      ],
    ),
  ).toEqual([]);
});

it("a data record whose key looks like an abort marker ends nothing", () => {
  const disguised = { ...data(1, "a"), key: Buffer.from([0, 0, 0, 0]) };
  expect(visible([data(0, "a"), disguised, data(2, "a"), abort(3, "a")], [["a", 0]])).toEqual([]);
});

it("a commit marker does not end an aborted transaction of another producer", () => {
  expect(visible([data(0, "a"), commit(1, "b"), data(2, "a"), abort(3, "a")], [["a", 0]])).toEqual([]);
});

it("messages outside transactions are always visible", () => {
  const plain = { ...data(1, "a"), batchContext: { producerId: "a", producerEpoch: 0, inTransaction: false } };
  expect(visible([data(0, "a"), plain, abort(2, "a")], [["a", 0]])).toEqual([1]);
});

function visible(messages: readonly FetchedMessage[], aborted: readonly (readonly [string, number])[]): number[] {
  const abortedTransactions = aborted.map(([producerId, firstOffset]) => ({ producerId, firstOffset: String(firstOffset) }));
  return committedMessages({ messages, abortedTransactions }).map(({ offset }) => Number(offset));
}

function data(offset: number, producerId: string): FetchedMessage {
  const batchContext = { producerId, producerEpoch: 0, inTransaction: true };
  return {
    offset: String(offset),
    timestamp: "0",
    key: Buffer.from("key"),
    value: Buffer.from("v"),
    headers: {},
    isControlRecord: false,
    batchContext,
  };
}

function abort(offset: number, producerId: string): FetchedMessage {
  return { ...data(offset, producerId), isControlRecord: true, key: Buffer.from([0, 0, 0, 0]) };
}

function commit(offset: number, producerId: string): FetchedMessage {
  return { ...data(offset, producerId), isControlRecord: true, key: Buffer.from([0, 0, 0, 1]) };
}
