import type { Bell } from "../bell.ts";

/**
 * Something under way that can be asked whether it is over. To race it again and again with what takes longer would keep all it ever gave:
 * each race is remembered by its slowest.
 */
export interface Ongoing<Value> {
  readonly result: Promise<Value>;
  readonly isOver: boolean;
}

/** The bell rings when it is over, also by a failure. */
export function ongoing<Value>(result: Promise<Value>, bell: Bell): Ongoing<Value> {
  let isOver = false;
  const end = (): void => {
    isOver = true;
    bell.ring();
  };
  result.then(end, end);
  return {
    result,
    get isOver() {
      return isOver;
    },
  };
}
