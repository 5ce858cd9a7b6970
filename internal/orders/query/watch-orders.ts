import { type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type Condition, type DocumentReader, DocumentsUnavailableError, type StoredDocument } from "../../cqrs/documents.ts";
import { appliedIn, positionAt } from "../../cqrs/positions.ts";
import type { EventPosition } from "../../cqrs/query/event-position.ts";
import type { EventChunk, EventTail } from "../../cqrs/query/event-tail.ts";
import type { Freshness } from "../../cqrs/query/freshness.ts";
import { inBatches } from "../../cqrs/query/in-batches.ts";
import { matches } from "../../cqrs/query/matches.ts";
import type { OrderEvent } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { OrderSchema } from "../../gen/headwater/orders/v1/order_pb.ts";
import type { OrderChangeSchema, OrderFilter } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { orders } from "../projection/order.ts";
import { conditionsOf } from "./list-orders.ts";

watchOrders.view = orders;

/** What an order is created with and keeps: one that does not match in these never did. */
const lastingFields: readonly string[] = ["customerId", "currencyCode", "createdAt"];

/** The order's length counts; the rest of a change is small. */
const ID_BYTES = 64;

type OrderChange = MessageInitShape<typeof OrderChangeSchema>;

export interface OrderChanges {
  readonly changes: readonly OrderChange[];
  /** Covers these changes and all before. */
  readonly position: EventPosition;
}

/** The orders that events changed, loaded once for all who watch at the same pace. */
export interface ChangedOrders {
  readonly tail: EventTail<OrderEvent>;
  /** In pieces that a process can hold for many who watch. */
  load(chunk: EventChunk<OrderEvent>): AsyncGenerator<readonly StoredDocument[]>;
}

/** The orders from one of a chunk's on, as many as were loaded together. */
interface Piece {
  readonly orders: readonly StoredDocument[];
  /** Where the next begins. */
  readonly end: number;
}

export function changedOrders(
  documents: Pick<DocumentReader, "load">,
  tail: EventTail<OrderEvent>,
  freshness: Pick<Freshness, "confirms">,
): ChangedOrders {
  /** Of each chunk the piece that was asked for last: what has been shown is not held. */
  const loads = new WeakMap<EventChunk<OrderEvent>, { readonly start: number; readonly piece: Promise<Piece> }>();

  const load = async ({ stream, partition, place }: EventChunk<OrderEvent>, ids: readonly string[], start: number): Promise<Piece> => {
    const found = await documents.load(orders.collection.name, ids.slice(start));
    // An order that is not there any more would be passed over.
    if (!(await freshness.confirms(orders, positionAt({ stream, partition, sequence: place.sequence }))))
      throw new DocumentsUnavailableError("the orders have been set back");
    return { orders: found.filter((document) => document !== undefined), end: start + found.length };
  };

  const loadOnce = (chunk: EventChunk<OrderEvent>, ids: readonly string[], start: number): Promise<Piece> => {
    const known = loads.get(chunk);
    if (known?.start === start) return known.piece;
    const own = { start, piece: load(chunk, ids, start) };
    loads.set(chunk, own);
    own.piece.catch(() => {
      if (loads.get(chunk) === own) loads.delete(chunk);
    });
    return own.piece;
  };

  return {
    tail,
    async *load(chunk) {
      const ids = [...new Set(chunk.events.map(({ metadata }) => metadata?.aggregateId ?? ""))].toSorted();
      for (let start = 0; start < ids.length; ) {
        const piece = await loadOnce(chunk, ids, start);
        yield piece.orders;
        start = piece.end;
      }
    },
  };
}

/** @throws {QueryArgumentError} at once: the filter cannot be answered */
export function watchOrders(
  changed: ChangedOrders,
  { filter, from }: { readonly filter: OrderFilter | undefined; readonly from: EventPosition },
  signal: AbortSignal,
): AsyncGenerator<OrderChanges> {
  return changesOf(changed, { conditions: filter === undefined ? [] : conditionsOf(filter), from }, signal);
}

async function* changesOf(
  changed: ChangedOrders,
  { conditions, from }: { readonly conditions: readonly Condition[]; readonly from: EventPosition },
  signal: AbortSignal,
): AsyncGenerator<OrderChanges> {
  const lasting = conditions.filter(({ field }) => lastingFields.includes(field));
  let position = from;
  for await (const chunk of changed.tail.follow(from, {}, signal)) {
    const before = position;
    position = new Map(position).set(chunk.partition, chunk.place);
    let waiting: readonly OrderChange[] | undefined;
    for await (const found of changed.load(chunk)) {
      for (const batch of inBatches(changesIn(found, chunk), sizeOf)) {
        // Who is cut off in between gets all of the chunk again.
        if (waiting !== undefined) yield { changes: waiting, position: before };
        waiting = batch;
      }
    }
    if (waiting !== undefined) yield { changes: waiting, position };
  }

  function changesIn(found: readonly StoredDocument[], chunk: EventChunk<OrderEvent>): readonly OrderChange[] {
    return found.flatMap((document): readonly OrderChange[] => {
      if (changesAgain(document, chunk) || !matches(document.fields, lasting)) return [];
      if (!matches(document.fields, conditions)) return [{ change: { case: "leftOrderId", value: document.id } }];
      return [{ change: { case: "order", value: orders.decode(document.fields) } }];
    });
  }
}

/** A chunk that could be read already has a later event of it: then the order is shown once, there. */
function changesAgain({ applied }: StoredDocument, { stream, partition, place, end }: EventChunk<OrderEvent>): boolean {
  const last = appliedIn(applied, stream, partition);
  return last > place.sequence && last <= end;
}

function sizeOf({ change }: OrderChange): number {
  return ID_BYTES + (change?.case === "order" ? toBinary(OrderSchema, change.value as never).length : 0);
}
