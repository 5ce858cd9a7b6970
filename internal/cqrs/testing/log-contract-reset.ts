/** The part of the log's contract that is about members that forget what they were told. */

import { expect, it } from "vitest";
import type { Consumer } from "../log.ts";
import { drive, type OpenLog, opened, partitionCount, pollUntil, record, shareAll } from "./log-contract-support.ts";

const all = [0, 1, 2, 3];

/** Long enough for what must come, however slow a broker is. */
const PATIENCE_MS = 30_000;

/** The cases about members that forget. */
export function describeReset(open: OpenLog): void {
  it("the next poll reports every partition as gained, none as lost, and no records", async () => {
    const { log, topics } = await opened(open);
    await log.append(all.map((partition) => record(topics.events, partition, `a-${partition}`)));
    const member = drive(await log.consume({ group: topics.group, instance: "one", topic: topics.events }));
    await pollUntil([member], () => member.records.length >= partitionCount);
    await log.append(all.map((partition) => record(topics.events, partition, `b-${partition}`)));
    member.member.reset();
    const poll = await patientPoll(member.member);
    expect({ ...poll, gained: poll.gained.toSorted((a, b) => a - b) }).toMatchObject({ gained: all, lost: [], records: [] });
  });

  it("no records come from a partition before it is positioned anew", async () => {
    const { log, topics } = await opened(open);
    await log.append(all.map((partition) => record(topics.events, partition, `a-${partition}`)));
    const member = drive(await log.consume({ group: topics.group, instance: "one", topic: topics.events }));
    await pollUntil([member], () => member.records.length >= partitionCount);
    const consumer = member.member;
    consumer.seek(0, 0);
    consumer.reset();
    expect((await patientPoll(consumer)).gained).toHaveLength(partitionCount);
    await log.append(all.map((partition) => record(topics.events, partition, `b-${partition}`)));
    expect((await consumer.poll({ maxRecords: 100, maxBytes: 1_000_000, waitMs: 1_000 })).records).toEqual([]);
    consumer.seek(2, 0);
    const found: string[] = [];
    while (found.length < 2) found.push(...(await patientPoll(consumer)).records.map(({ key }) => key));
    expect(found).toEqual(["a-2", "b-2"]);
  });

  it("a poll that waits is answered at once", async () => {
    const { log, topics } = await opened(open);
    const member = drive(await log.consume({ group: topics.group, instance: "one", topic: topics.events }));
    await pollUntil([member], () => member.owned.size === partitionCount);
    const waiting = patientPoll(member.member);
    // Behind the poll's own way to the log.
    await log.ends(topics.events);
    member.member.reset();
    const startedMs = performance.now();
    expect((await waiting).gained).toHaveLength(partitionCount);
    expect(performance.now() - startedMs).toBeLessThan(PATIENCE_MS / 2);
  });

  it("the other members keep what they have", async () => {
    const { log, topics } = await opened(open);
    const join = async (instance: string) => drive(await log.consume({ group: topics.group, instance, topic: topics.events }));
    const [one, two] = [await join("one"), await join("two")];
    await pollUntil([one, two], () => shareAll(one, two));
    const before = new Set(one.owned);
    one.member.reset();
    const again = drive(one.member);
    await pollUntil([again, two], () => again.owned.size > 0);
    expect(again.owned).toEqual(before);
    expect(shareAll(again, two)).toBe(true);
  });
}

function patientPoll(member: Consumer) {
  return member.poll({ maxRecords: 100, maxBytes: 1_000_000, waitMs: PATIENCE_MS });
}
