import { describe, expect, it } from "vitest";
import { type Answer, createUnread } from "./unread.ts";

/** An answer of a connection, of which nothing is read. */
function answerOn(connection: string) {
  const state = { unread: 0, isCutOff: false };
  const answer: Answer = {
    connection,
    unreadBytes: () => state.unread,
    isCutOff: () => state.isCutOff,
    cutOff: () => (state.isCutOff = true),
  };
  return { answer, state };
}

function room(maxBytes: number) {
  const unread = createUnread(maxBytes);
  const write = (connection: string, bytes: number) => {
    const { answer, state } = answerOn(connection);
    const isWritten = unread.hasRoom(answer, bytes);
    if (isWritten) state.unread = bytes;
    return { isWritten, state, end: () => unread.ended(answer) };
  };
  return { write };
}

describe("what clients have not read", () => {
  it("has a bound, whatever the connection", () => {
    const { write } = room(100);
    const written = Array.from({ length: 50 }, (_, index) => write(`c${index}`, 10));
    expect(written.filter(({ isWritten, state }) => isWritten && !state.isCutOff)).toHaveLength(10);
    const held = written.reduce((sum, { state }) => sum + state.unread, 0);
    expect(held).toBeLessThanOrEqual(150);
  });

  it("makes room again when it is read or its call ends", () => {
    const { write } = room(100);
    const [first, second] = [write("a", 60), write("a", 40)];
    expect(write("a", 10).isWritten).toBe(false);
    first.state.unread = 20;
    expect(write("a", 40).isWritten).toBe(true);
    expect(write("a", 10).isWritten).toBe(false);
    second.end();
    expect(write("a", 40).isWritten).toBe(true);
  });

  it("costs the connection that has most of it its largest answer, the latest of equal ones", () => {
    const { write } = room(100);
    const held = [write("a", 20), write("b", 10), write("a", 30), write("a", 30), write("a", 10)];
    expect(write("b", 20).isWritten).toBe(true);
    expect(held.map(({ state }) => state.isCutOff)).toEqual([false, false, false, true, false]);
    expect(write("a", 40).isWritten).toBe(false);
    expect(held.filter(({ state }) => state.isCutOff)).toHaveLength(1);
  });

  it("counts until it has gone, also where it was cut off", () => {
    const { write } = room(100);
    const first = write("a", 100);
    expect(write("b", 40).isWritten).toBe(true);
    expect(first.state.isCutOff).toBe(true);
    expect(write("c", 40).isWritten).toBe(false);
    first.end();
    expect(write("c", 40).isWritten).toBe(true);
  });
});
