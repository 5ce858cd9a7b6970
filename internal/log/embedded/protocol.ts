/** What the thread of the embedded log is asked. */

import type { GroupMember, LatestValue, LogRecord, NewRecord, Poll, PollOptions } from "../../cqrs/log.ts";

/** What clients may ask. */
export interface BrokerMethods {
  describe(argument: null): {
    readonly id: string;
    readonly partitions: number;
    readonly topicIds: Readonly<Record<string, string>>;
    readonly liveTopics: readonly string[];
  };
  append(records: readonly NewRecord[]): readonly number[];
  join(argument: { readonly group: string; readonly topic: string; readonly instance: string }): number;
  leave(member: number): null;
  reset(member: number): null;
  poll(argument: PollArgument): Poll;
  load(argument: {
    readonly topic: string;
    readonly partition: number;
    readonly keys: readonly string[];
  }): readonly (Uint8Array | undefined)[];
  transact(argument: TransactArgument): null;
  read(argument: {
    readonly topic: string;
    readonly partition: number;
    readonly from: number;
    readonly waitMs: number;
  }): readonly LogRecord[];
  listen(argument: { readonly topic: string; readonly partition: number }): null;
  ends(topic: string): readonly number[];
  begins(topic: string): readonly number[];
  members(group: string): readonly GroupMember[];
  /** Takes hold of the latest values as they are now, and returns a number for them. */
  scan(argument: { readonly topic: string; readonly partition: number }): number;
  /** The next of the values that a number stands for; none: that was all. */
  scanned(scan: number): readonly LatestValue[];
  /** Lets go of the values. */
  endScan(scan: number): null;
  committed(argument: { readonly group: string; readonly topic: string }): readonly number[];
  /** Answers all calls of this client that still wait. */
  release(argument: null): null;
}

/** By name, for who must not pass on others. */
export const logCalls: Readonly<Record<keyof BrokerMethods, true>> = {
  describe: true,
  append: true,
  join: true,
  leave: true,
  reset: true,
  poll: true,
  load: true,
  transact: true,
  read: true,
  listen: true,
  ends: true,
  begins: true,
  members: true,
  scan: true,
  scanned: true,
  endScan: true,
  committed: true,
  release: true,
};

export interface PollArgument extends PollOptions {
  readonly member: number;
  /** Partition and offset of every `seek` since the last poll. */
  readonly seeks: readonly (readonly [number, number])[];
}

export interface TransactArgument {
  readonly member: number;
  readonly records: readonly NewRecord[];
  readonly consumed: readonly (readonly [number, number])[];
  readonly generation?: number;
}

/** Records of a "live" topic, sent to a client that listens. */
export interface LivePush {
  readonly place: string;
  readonly records: readonly LogRecord[];
}

/** Names a topic's partition. */
export function placeOf(topic: string, partition: number): string {
  return `${partition}/${topic}`;
}
