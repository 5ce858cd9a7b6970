/** What an operator looks at first, measured. */

import { setTimeout } from "node:timers/promises";
import { type Documents, DocumentsUnavailableError } from "../../../internal/cqrs/documents.ts";
import { type EventPlace, type EventsOptions, lastEvent } from "../../../internal/cqrs/event/event-lag.ts";
import type { GroupMember, Log } from "../../../internal/cqrs/log.ts";
import { listParked } from "../../../internal/cqrs/projector/parking.ts";
import { projectorGroup } from "../../../internal/cqrs/projector/projector.ts";
import { OrderEventSchema } from "../../../internal/gen/headwater/orders/v1/order_event_pb.ts";
import { orderViews } from "../../../internal/orders/projection/views.ts";
import { loadLetters } from "../dead-letters/letters.ts";
import { orderGroups, orderTopics } from "../domain.ts";
import { secondsOf, type ViewStatus, type ViewsOptions, viewStatuses } from "./views.ts";
import { commandsWaiting } from "./waiting.ts";

export interface PartitionStatus {
  readonly partition: number;
  readonly commandsWaiting: number;
  /** The command handler that decides here; absent: nobody does. */
  readonly handler?: string;
  readonly events: number;
  /** Of the live view that is farthest behind; absent: the documents are away. */
  readonly lagEvents?: number;
  readonly lagSeconds?: number;
  readonly projector?: string;
}

export interface Status {
  readonly logId: string;
  readonly sampleSeconds: number;
  /** Absent without a sample. */
  readonly commandsPerSecond?: number;
  readonly eventsPerSecond?: number;
  readonly deadLetters: { readonly open: number; readonly closed: number };
  readonly partitions: readonly PartitionStatus[];
  /** Absent: the documents are away; why, `documentsError` tells. */
  readonly views?: readonly ViewStatus[];
  readonly documentsError?: string;
  /** Keys of views that wait behind an event that cannot be applied. Absent: the documents are away. */
  readonly parkedKeys?: number;
}

export interface MeasureOptions {
  readonly log: Log;
  readonly openDocuments: () => Promise<Documents>;
  readonly sampleSeconds: number;
}

/** Where the log ends. */
interface Ends {
  readonly atMs: number;
  readonly commands: readonly number[];
  readonly lasts: readonly (EventPlace | undefined)[];
}

export async function measure({ log, openDocuments, sampleSeconds }: MeasureOptions): Promise<Status> {
  const events = { log, topic: orderTopics.events.name, schema: OrderEventSchema };
  const before = await endsOf(events, log);
  const rates = sampleSeconds === 0 ? {} : await ratesSince(before, sampleSeconds, () => endsOf(events, log));
  const [waiting, handlers, projectors, letters] = await Promise.all([
    commandsWaiting(log),
    ownersOf(log, orderGroups.handler),
    ownersOf(log, projectorGroup({ group: orderGroups.projector, views: orderViews })),
    loadLetters(log, log.partitions),
  ]);
  const { lasts } = await endsOf(events, log);
  const views = await viewsOf(openDocuments, { events, lasts });
  const open = letters.filter(({ resolution }) => resolution === undefined).length;
  return {
    logId: log.id,
    sampleSeconds,
    ...rates,
    deadLetters: { open, closed: letters.length - open },
    partitions: waiting.map((commands, partition) => ({
      partition,
      commandsWaiting: commands,
      ...owned("handler", handlers.get(partition)),
      events: lasts[partition]?.sequence ?? 0,
      ...("views" in views ? farthestBehind(views.views, partition) : {}),
      ...owned("projector", projectors.get(partition)),
    })),
    ...views,
  };
}

async function endsOf(events: EventsOptions, log: Log): Promise<Ends> {
  const partitions = Array.from({ length: log.partitions }, (_, partition) => partition);
  const [commands, lasts] = await Promise.all([
    log.ends(orderTopics.commands.name),
    Promise.all(partitions.map((partition) => lastEvent(events, partition))),
  ]);
  return { atMs: performance.now(), commands, lasts };
}

async function ratesSince(before: Ends, sampleSeconds: number, look: () => Promise<Ends>) {
  await setTimeout(sampleSeconds * 1_000);
  const after = await look();
  const seconds = (after.atMs - before.atMs) / 1_000;
  const rate = (now: number, then: number): number => Math.round((now - then) / seconds);
  const sequences = ({ lasts }: Ends): number => sum(lasts.map((last) => last?.sequence ?? 0));
  return { commandsPerSecond: rate(sum(after.commands), sum(before.commands)), eventsPerSecond: rate(sequences(after), sequences(before)) };
}

async function ownersOf(log: Log, group: string): Promise<ReadonlyMap<number, string>> {
  const members: readonly GroupMember[] = await log.members(group);
  return new Map(members.flatMap(({ instance, partitions }) => partitions.map((partition) => [partition, instance] as const)));
}

async function viewsOf(openDocuments: MeasureOptions["openDocuments"], { events, lasts }: Pick<ViewsOptions, "events" | "lasts">) {
  try {
    await using documents = await openDocuments();
    const views = await viewStatuses({ events, documents, lasts, nowMs: Date.now() });
    return { views, parkedKeys: (await listParked(documents)).length };
  } catch (error) {
    if (!(error instanceof DocumentsUnavailableError)) throw error;
    return { documentsError: error.message };
  }
}

function farthestBehind(views: readonly ViewStatus[], partition: number) {
  const lags = views.filter(({ generation }) => generation === "live").flatMap((view) => view.lags[partition] ?? []);
  return {
    lagEvents: Math.max(0, ...lags.map(({ events }) => events)),
    lagSeconds: secondsOf(Math.max(0, ...lags.map(({ milliseconds }) => milliseconds))),
  };
}

function owned(role: "handler" | "projector", instance: string | undefined) {
  return instance === undefined ? {} : { [role]: instance };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
