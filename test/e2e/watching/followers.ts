/** Clients that watch or subscribe until they are told to stop, and what they must have seen. */

import type { Session } from "../../../sdk/src/index.ts";

/** The versions of each order, in the order in which they came. */
type Seen = ReadonlyMap<string, readonly number[]>;

export interface Follower {
  readonly name: string;
  /** How many states or events have come. */
  count(): number;
  /** Whether it knows the last version of each order that it follows. */
  hasReached(versions: ReadonlyMap<string, number>): boolean;
  /** What it must not have seen, or why it has ended. */
  problems(): readonly string[];
  readonly ended: Promise<void>;
}

export interface Following {
  readonly name: string;
  readonly signal: AbortSignal;
}

/** Each state is newer than the one before. */
export function followOrder(session: Session, { orderId, ...following }: Following & { readonly orderId: string }): Follower {
  return createFollower(following, [orderId], isRising, async (note) => {
    for await (const { version } of session.watchOrder({ orderId }, following)) note(orderId, version);
  });
}

/** What is listed and what changes; an order may come again, but never as it was before. */
export function followList(session: Session, { customerId, orderIds, ...following }: FollowingMany): Follower {
  return createFollower(following, orderIds, isNotFalling, async (note) => {
    for await (const change of session.watchOrders({ filter: { customerId } }, following)) {
      if (change.case === "order") note(change.value.orderId, change.value.version);
    }
  });
}

/** Each event of each order, once and in its order. */
export function followEvents(session: Session, { customerId, orderIds, ...following }: FollowingMany): Follower {
  return createFollower(following, orderIds, isGapless, async (note) => {
    for await (const { events } of session.subscribeOrderEvents({ customerId }, following)) {
      for (const { metadata } of events) note(metadata?.aggregateId ?? "", metadata?.version ?? 0);
    }
  });
}

/** The same by one who keeps the position himself and takes it to another session after some batches, and whenever one fails. */
export function followEventsInTurn(sessions: readonly Session[], { customerId, orderIds, ...following }: FollowingMany): Follower {
  return createFollower(following, orderIds, isGapless, async (note) => {
    let position = "";
    for (let turn = 0; !following.signal.aborted; turn += 1) {
      const session = sessions[turn % sessions.length];
      if (session === undefined) throw new Error("there is no session");
      let batches = 0;
      try {
        for await (const delivered of session.subscribeOrderEvents({ customerId, position }, following)) {
          for (const { metadata } of delivered.events) note(metadata?.aggregateId ?? "", metadata?.version ?? 0);
          ({ position } = delivered);
          batches += 1;
          if (batches === BATCHES_PER_TURN) break;
        }
      } catch {
        // The next one may be there.
      }
    }
  });
}

type FollowingMany = Following & { readonly customerId: string; readonly orderIds: readonly string[] };

const BATCHES_PER_TURN = 10;

export function isRising(versions: readonly number[]): boolean {
  return versions.every((version, index) => version > (versions[index - 1] ?? 0));
}

export function isNotFalling(versions: readonly number[]): boolean {
  return versions.every((version, index) => version >= (versions[index - 1] ?? 0));
}

export function isGapless(versions: readonly number[]): boolean {
  return versions.every((version, index) => version === index + 1);
}

function createFollower(
  { name, signal }: Following,
  orderIds: readonly string[],
  isAllowed: (versions: readonly number[]) => boolean,
  follow: (note: (orderId: string, version: number) => void) => Promise<void>,
): Follower {
  const seen = new Map<string, number[]>();
  let [count, failure] = [0, ""];
  const note = (orderId: string, version: number): void => {
    count += 1;
    const versions = seen.get(orderId) ?? [];
    seen.set(orderId, versions);
    versions.push(version);
  };
  const ended = follow(note).catch((error: unknown) => {
    if (!signal.aborted) failure = `${name} has ended: ${String(error)}`;
  });
  return {
    name,
    count: () => count,
    hasReached: (versions) => orderIds.every((orderId) => seen.get(orderId)?.at(-1) === versions.get(orderId)),
    problems: () => [...(failure === "" ? [] : [failure]), ...wrong(name, seen, isAllowed)],
    ended,
  };
}

function wrong(name: string, seen: Seen, isAllowed: (versions: readonly number[]) => boolean): readonly string[] {
  return [...seen].filter(([, versions]) => !isAllowed(versions)).map(([orderId, versions]) => `${name}: ${orderId} ${versions.join(" ")}`);
}
