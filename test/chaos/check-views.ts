/** What watches, subscriptions, streams and receipts of a stage promised, held against the log: I16, I21 to I23. */

import { partitionOf } from "../../internal/cqrs/partition.ts";
import { CommandStage } from "../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import type { Evidence } from "./evidence.ts";
import type { Attempt, ClientHistory, Delivered, SetBack, Sight, Subscription, Watch } from "./history.ts";

export function checkViews(evidence: Evidence, history: ClientHistory): readonly string[] {
  return [
    ...history.watches.flatMap((watch) => checkWatch(evidence, watch)),
    ...history.subscriptions.flatMap((subscription) => checkSubscription(evidence, subscription)),
    ...history.sights.flatMap((sight) => checkSight(sight, history.setBacks)),
    ...history.attempts.flatMap(checkStage),
    ...history.pipelines.flatMap(({ orderId, commandIds }) => checkPipeline(evidence, orderId, commandIds)),
  ];
}

/** All that a subscription must deliver, partition by partition in the order of the log. */
function expectedOf(evidence: Evidence, { orderId, customerId }: Subscription): readonly Delivered[] {
  return evidence.events
    .filter(
      ({ event, metadata }) =>
        (orderId === "" || metadata.aggregateId === orderId) && (customerId === "" || event.customerId === customerId),
    )
    .map(({ metadata }) => ({ orderId: metadata.aggregateId, eventId: metadata.eventId, sequence: Number(metadata.sequence) }));
}

/** Whether a follower has come to the end of what there is. */
export function hasFollowed(evidence: Evidence, { subscriptions, watches }: ClientHistory): boolean {
  return (
    subscriptions.every((subscription) => subscription.delivered.length >= expectedOf(evidence, subscription).length) &&
    watches.every((watch) => (watch.versions.at(-1) ?? 0) >= lastVersion(evidence, watch.orderId))
  );
}

function checkWatch(evidence: Evidence, { orderId, versions }: Watch): readonly string[] {
  const last = lastVersion(evidence, orderId);
  const isRising = versions.every((version, index) => version > (versions[index - 1] ?? 0));
  return [
    ...(isRising ? [] : [`I16: the watch of ${orderId} showed ${versions.join(" ")}`]),
    ...((versions.at(-1) ?? 0) === last ? [] : [`I16: the watch of ${orderId} ended at ${versions.at(-1) ?? 0} of ${last}`]),
  ];
}

function lastVersion({ events }: Evidence, orderId: string): number {
  return events.findLast(({ metadata }) => metadata.aggregateId === orderId)?.metadata.version ?? 0;
}

/** Each event once, in the order of its partition. */
function checkSubscription(evidence: Evidence, subscription: Subscription): readonly string[] {
  const { name } = subscription;
  const partitions = evidence.partitions.length;
  const byPartition = (events: readonly Delivered[]) => Map.groupBy(events, ({ orderId }) => partitionOf(orderId, partitions));
  const delivered = byPartition(subscription.delivered);
  const expected = byPartition(expectedOf(evidence, subscription));
  return [...new Set([...delivered.keys(), ...expected.keys()])].flatMap((partition) => {
    const [got, wanted] = [delivered.get(partition) ?? [], expected.get(partition) ?? []];
    const wrong = got.findIndex(
      ({ eventId, sequence }, index) => eventId !== wanted[index]?.eventId || sequence !== wanted[index].sequence,
    );
    if (wrong >= 0) {
      return [`I21: ${name} has ${got[wrong]?.eventId} where ${wanted[wrong]?.eventId ?? "nothing"} is next in partition ${partition}`];
    }
    return got.length === wanted.length ? [] : [`I21: ${name} has ${got.length} of ${wanted.length} events of partition ${partition}`];
  });
}

/** What the views are said to show is there, unless somebody took it away meanwhile. */
function checkSight(
  { orderId, commandId, version, where, sentAtMs, endedAtMs, seen }: Sight,
  setBacks: readonly SetBack[],
): readonly string[] {
  const isExcused = setBacks.some(({ fromMs, toMs }) => fromMs < endedAtMs && toMs > sentAtMs);
  if (seen >= version || isExcused) return [];
  return [`I22: ${commandId} was said to be projected at version ${version} of ${orderId}, but ${where} had ${seen}`];
}

/** A receipt has the stage that was asked for; that of a view may be late, and never is another. */
function checkStage({ orderId, commandId, waitFor, result }: Attempt): readonly string[] {
  if (result.kind !== "ok") return [];
  const isAllowed = result.stage === waitFor || (waitFor === CommandStage.PROJECTED && result.stage === CommandStage.DECIDED);
  return isAllowed ? [] : [`I22: ${commandId} of ${orderId} was to wait for stage ${waitFor}, and says ${result.stage}`];
}

/** Commands of one order on one stream are decided in the order in which they were sent. */
function checkPipeline(evidence: Evidence, orderId: string, commandIds: readonly string[]): readonly string[] {
  const versions = commandIds.map((commandId) => evidence.decision(orderId, commandId)?.outcome.version ?? 0);
  const isInOrder = versions.every((version, index) => version >= (versions[index - 1] ?? 0));
  return isInOrder ? [] : [`I23: the commands of ${orderId} on one stream were decided at ${versions.join(" ")}`];
}
