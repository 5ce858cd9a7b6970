/** Flags, and the length of the message behind them. */
export const HEAD_BYTES = 5;
const FLAG_BYTES = 1;

/** Follows where messages end in bytes that come in pieces. */
export interface Frames {
  /** Whether a message has begun that has not come completely. */
  readonly isPartial: boolean;
  /**
   * Takes the next piece. Returns the sizes of the messages that it completes, with their heads.
   */
  take(piece: Uint8Array): readonly number[];
}

export function followFrames(): Frames {
  let headBytes = 0;
  let length = 0;
  let missing = 0;

  return {
    get isPartial() {
      return headBytes > 0;
    },
    take(piece) {
      const completed: number[] = [];
      let at = 0;
      while (at < piece.length) {
        if (headBytes < HEAD_BYTES) {
          if (headBytes >= FLAG_BYTES) length = length * 256 + (piece[at] ?? 0);
          headBytes++;
          at++;
          missing = length;
        } else {
          const taken = Math.min(missing, piece.length - at);
          missing -= taken;
          at += taken;
        }
        if (headBytes < HEAD_BYTES || missing > 0) continue;
        completed.push(HEAD_BYTES + length);
        headBytes = 0;
        length = 0;
      }
      return completed;
    },
  };
}
