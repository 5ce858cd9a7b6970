/** Holds the documents of all views against the events: each must be their fold, to the last field and position. */

import { expect } from "vitest";
import type { OrderHistory, PlacedEvent } from "../../../test/support/order-histories.ts";
import { orders } from "../../../test/support/order-runtime.ts";
import type { Applied, Documents, StoredDocument } from "../documents.ts";
import type { Log } from "../log.ts";
import { appliedIn, appliedUpTo, covers, positionsOf } from "../positions.ts";
import type { Projection } from "../projection.ts";

const MAX_DOCUMENTS = 10_000;

/** What a view has, in the order of the ids. */
export interface StoredView {
  readonly view: string;
  readonly stored: readonly PlainDocument[];
}

/** Without the revision, which tells of writes and not of events; dates as text, as some stores have them. */
interface PlainDocument {
  readonly id: string;
  readonly applied: Applied;
  readonly fields: unknown;
}

/** What all views have, in these of their generations. */
export function storedViews(documents: Documents, views: readonly Projection[] = orders.views): Promise<readonly StoredView[]> {
  return Promise.all(
    views.map(async (view) => {
      const query = { collection: view.collection.name, where: [], sort: [], limit: MAX_DOCUMENTS };
      const { documents: found } = await documents.find(query);
      return { view: view.name, stored: found.map(plain) };
    }),
  );
}

/** Every document is there and is the fold of all its events, and every view says that it is complete. */
export async function expectFolds(
  documents: Documents,
  log: Pick<Log, "topicId">,
  { events }: OrderHistory,
  views = orders.views,
): Promise<void> {
  const stream = streamOf(log);
  expect(await storedViews(documents, views)).toEqual(views.map((view) => ({ view: view.name, stored: folded(view, stream, events) })));
  const last = Map.groupBy(events, ({ partition }) => partition);
  for (const { collection } of views) {
    const checkpoints = (await documents.checkpoints(collection.name)).filter(({ sequence }) => sequence > 0);
    expect(new Map(checkpoints.map(({ partition, sequence }) => [partition, sequence]))).toEqual(
      new Map([...last].map(([partition, own]) => [partition, own.length])),
    );
  }
}

/** Every document is the fold of its events up to the positions that it carries, and holds at least what the checkpoints cover. */
export async function expectPrefixes(documents: Documents, log: Pick<Log, "topicId">, { events }: OrderHistory): Promise<void> {
  const stream = streamOf(log);
  const views = await storedViews(documents);
  for (const [index, view] of orders.views.entries()) {
    const stored = views[index]?.stored ?? [];
    const folds = stored.flatMap(({ id, applied }) => folded(view, stream, events.filter(isUpTo(stream, applied)), id));
    expect(stored).toEqual(folds);
    const checkpoints = await documents.checkpoints(view.collection.name);
    const covered = { [stream]: Object.fromEntries(checkpoints.map(({ partition, sequence }) => [partition, sequence])) };
    const needed = folded(view, stream, events.filter(isUpTo(stream, covered)));
    expect(stored).toEqual(expect.arrayContaining(needed.map(({ id }) => expect.objectContaining({ id }))));
    for (const { id, applied } of needed) expect(stored.find((each) => each.id === id)?.applied).toSatisfy(isAtLeast(applied));
  }
}

/** The view's documents as the events make them, or one of them. */
function folded(view: Projection, stream: string, events: readonly PlacedEvent[], only?: string): readonly PlainDocument[] {
  const documents = new Map<string, { document: object; applied: Applied }>();
  for (const { event, partition, sequence } of events) {
    for (const id of view.keys(event)) {
      if (only !== undefined && id !== only) continue;
      const before = documents.get(id);
      const applied = appliedUpTo(before?.applied, { stream, partition, sequence });
      documents.set(id, { document: view.fold(before?.document, id, event), applied });
    }
  }
  return [...documents]
    .map(([id, { document, applied }]) => plain({ id, applied, fields: view.encode(document, applied) }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

function streamOf(log: Pick<Log, "topicId">): string {
  return log.topicId(orders.topics.events.name);
}

function isUpTo(stream: string, applied: Applied) {
  return ({ partition, sequence }: PlacedEvent): boolean => sequence <= appliedIn(applied, stream, partition);
}

function isAtLeast(applied: Applied) {
  return (other: Applied | undefined): boolean => covers(positionsOf(other ?? {}), positionsOf(applied));
}

function plain({ id, applied, fields }: Omit<StoredDocument, "revision">): PlainDocument {
  return JSON.parse(JSON.stringify({ id, applied, fields })) as PlainDocument;
}
