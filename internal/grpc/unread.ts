/**
 * What clients have not read yet of their answers, of all connections of a server together. Where
 * another answer finds no room, the connection that has most unread loses its largest, be it that
 * one or another: clients that read are answered beside those that do not.
 */

import { resourceExhausted, type StatusError } from "./errors.ts";

/** Answers that wait to be read have been read or cut off by then, or some of them. */
const RETRY_AFTER_MS = 1_000;

/**
 * What was cut off is held until its reset is written, which a socket that takes nothing prevents.
 * So much of the bound may be held beside it.
 */
const MOST_CUT_OFF = 0.5;

/** The answer to a call, or a stream of them, from the first byte until the call has ended. */
export interface Answer {
  readonly connection: unknown;
  unreadBytes(): number;
  isCutOff(): boolean;
  cutOff(): void;
}

export interface Unread {
  /** Whether so many bytes more may be written as part of an answer; if others have to, they make room for them. */
  hasRoom(answer: Answer, bytes: number): boolean;
  ended(answer: Answer): void;
}

export function createUnread(maxBytes: number): Unread {
  const answers = new Set<Answer>();
  /** What was unread when it was last counted, and all that was written since: there is no more. */
  let atMostBytes = 0;

  return {
    hasRoom(answer, bytes) {
      answers.add(answer);
      if (atMostBytes + bytes > maxBytes && !makeRoom(answer, bytes)) return false;
      atMostBytes += bytes;
      return true;
    },
    ended: (answer) => void answers.delete(answer),
  };

  function makeRoom(answer: Answer, bytes: number): boolean {
    atMostBytes = sum(answers);
    if (answer.isCutOff() || atMostBytes + bytes > maxBytes * (1 + MOST_CUT_OFF)) return false;
    const reading = [...answers].filter((each) => !each.isCutOff());
    const connections = [...Map.groupBy(reading, ({ connection }) => connection)].map(([connection, waiting]) => ({
      isOwn: connection === answer.connection,
      waiting,
      bytes: sum(waiting) + (connection === answer.connection ? bytes : 0),
    }));
    for (let left = sum(reading) + bytes; left > maxBytes; ) {
      // Of equal ones the one that asks: nobody is cut off for it.
      const longest = connections.reduce((most, each) =>
        each.bytes > most.bytes || (each.isOwn && each.bytes === most.bytes) ? each : most,
      );
      if (longest.isOwn) return false;
      // Of equal ones the latest, which has most still to be read.
      const largest = longest.waiting.reduce((most, each) => (each.unreadBytes() >= most.unreadBytes() ? each : most));
      const freed = largest.unreadBytes();
      longest.waiting = longest.waiting.filter((each) => each !== largest);
      longest.bytes -= freed;
      left -= freed;
      largest.cutOff();
    }
    return true;
  }
}

function sum(answers: Iterable<Answer>): number {
  let bytes = 0;
  for (const answer of answers) bytes += answer.unreadBytes();
  return bytes;
}

export function tooManyUnread(): StatusError {
  return resourceExhausted("too many answers wait to be read", { reason: "TOO_MANY_BYTES" }, RETRY_AFTER_MS);
}
