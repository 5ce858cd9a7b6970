/** Events as the log has them, and what the views make of them. */

import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Documents, Fields } from "../../../cqrs/documents.ts";
import type { Member, UnionInitOf } from "../../../cqrs/oneof.ts";
import type { Projection, View } from "../../../cqrs/projection.ts";
import { type OrderEvent, OrderEventSchema } from "../../../gen/headwater/orders/v1/order_event_pb.ts";
import { orderEvents } from "../../order-events.ts";

export type Facts = Member<UnionInitOf<typeof OrderEventSchema>>;

export interface Circumstances {
  readonly orderId?: string;
  readonly customerId?: string;
  readonly version?: number;
  readonly occurredAt?: string;
}

export function eventOf(facts: Facts, circumstances: Circumstances = {}): OrderEvent {
  const { orderId = "order-1", customerId = "ann", version = 1, occurredAt = "2026-03-01T10:00:00Z" } = circumstances;
  const happened = timestampFromDate(new Date(occurredAt));
  const place = { eventId: `${orderId}/${version}`, aggregateId: orderId, version, schemaVersion: orderEvents.schemaVersion };
  const metadata = { ...place, occurredAt: happened, recordedAt: happened };
  return create(OrderEventSchema, { metadata, customerId, event: facts });
}

/** The events of one order, a minute apart. */
export function historyOf(facts: readonly Facts[], circumstances: Circumstances = {}): OrderEvent[] {
  const start = Date.parse(circumstances.occurredAt ?? "2026-03-01T10:00:00Z");
  return facts.map((fact, index) =>
    eventOf(fact, { ...circumstances, version: index + 1, occurredAt: new Date(start + index * 60_000).toISOString() }),
  );
}

export function eur(minorUnits: bigint) {
  return { currencyCode: "EUR", minorUnits };
}

export function line(lineId: string, quantity: number, unitPrice: bigint, sku = `SKU-${lineId}`) {
  return { lineId, sku, description: `Thing ${lineId}`, quantity, unitPrice: eur(unitPrice) };
}

/** A view's documents by id, as they are stored. Between two events each goes through the store's form, as it may in production. */
export function fieldsAfter(view: Projection, events: readonly OrderEvent[]): ReadonlyMap<string, Fields> {
  const stored = new Map<string, Fields>();
  for (const event of events) {
    for (const id of view.keys(event)) {
      const before = stored.get(id);
      stored.set(id, view.encode(view.fold(before && view.decode(before), id, event)));
    }
  }
  return stored;
}

/** A view's documents by id. */
export function documentsAfter<Desc extends DescMessage>(view: View<Desc>, events: readonly OrderEvent[]): Map<string, MessageShape<Desc>> {
  return new Map([...fieldsAfter(view, events)].map(([id, fields]) => [id, view.decode(fields)]));
}

/** Puts what the views make of the events into a store. */
export async function project(documents: Documents, views: readonly Projection[], events: readonly OrderEvent[]): Promise<void> {
  await documents.prepare(views.map((view) => view.collection));
  const writes = views.flatMap((view) =>
    [...fieldsAfter(view, events)].map(([id, fields]) => ({
      collection: view.collection.name,
      id,
      expectedRevision: 0,
      applied: {},
      fields,
    })),
  );
  const conflicts = await documents.write(writes, []);
  if (conflicts.length > 0) throw new Error(`${conflicts.length} documents were there already`);
}
