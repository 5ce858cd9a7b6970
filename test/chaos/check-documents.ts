/** The documents are the fold of the events, and every order that was read was one at some time: I13 to I15. */

import { isDeepStrictEqual } from "node:util";
import { equals } from "@bufbuild/protobuf";
import type { Document } from "mongodb";
import type { Projection } from "../../internal/cqrs/projection.ts";
import { type Order, OrderSchema } from "../../internal/gen/headwater/orders/v1/order_pb.ts";
import { orders } from "../../internal/orders/projection/order.ts";
import { orderViews } from "../../internal/orders/projection/views.ts";
import type { Evidence } from "./evidence.ts";
import type { Read, ReadAfter } from "./history.ts";

/** What a read is held to, by where it got its version from. */
const invariants = { write: "I14", read: "I15", watch: "I16", list: "I17" } as const satisfies Record<ReadAfter, string>;

interface Expected {
  readonly document: object;
  /** Of the one stream that there is. */
  readonly sequences: Readonly<Record<number, number>>;
}

export function checkDocuments({ events }: Evidence, collections: ReadonlyMap<string, readonly Document[]>): readonly string[] {
  return orderViews.flatMap((view) => {
    const expected = fold(view, events);
    const found = new Map((collections.get(view.collection.name) ?? []).map((document) => [String(document["_id"]), document]));
    const extra = [...found.keys()].filter((id) => !expected.has(id));
    return [
      ...extra.map((id) => `I13: ${view.name} has a document ${id} that no event made`),
      ...[...expected].flatMap(([id, each]) => checkDocument(view, id, each, found.get(id))),
    ];
  });
}

function fold(view: Projection, events: Evidence["events"]): ReadonlyMap<string, Expected> {
  const documents = new Map<string, Expected>();
  for (const { partition, event, metadata } of events) {
    for (const id of view.keys(event)) {
      const before = documents.get(id);
      const sequences = { ...before?.sequences, [partition]: Number(metadata.sequence) };
      documents.set(id, { document: view.fold(before?.document, id, event), sequences });
    }
  }
  return documents;
}

function checkDocument(view: Projection, id: string, { document, sequences }: Expected, found: Document | undefined): readonly string[] {
  const name = `${view.name} ${id}`;
  if (found === undefined) return [`I13: ${name} is missing`];
  const { _id, _revision, _applied, ...fields } = found;
  const [stream = ""] = Object.keys(_applied as object);
  const applied = { [stream]: sequences };
  const wanted = view.encode(document, applied);
  const different = Object.keys({ ...wanted, ...fields }).filter((field) => !isDeepStrictEqual(plain(wanted[field]), plain(fields[field])));
  return [
    ...(different.length === 0 ? [] : [`I13: ${name} is not the fold of its events in ${different.join(", ")}`]),
    ...(isDeepStrictEqual(plain(_applied), plain(applied)) ? [] : [`I13: ${name} has applied other events than there are`]),
  ];
}

/** Without prototypes and key order. */
function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}

/** Reads show what their token promises, and each shows the fold of a prefix of the order's events. */
export function checkReads({ events }: Evidence, reads: readonly Read[]): readonly string[] {
  const eventsOf = Map.groupBy(events, ({ metadata }) => metadata.aggregateId);
  const prefixes = new Map<string, readonly object[]>();
  return reads.flatMap(({ session, orderId, atLeast, after, order }) => {
    const version = order?.version ?? 0;
    const stale =
      version < atLeast ? [`${invariants[after]}: session ${session} read ${orderId} at ${version} after a ${after} of ${atLeast}`] : [];
    if (order === undefined) return stale;
    const known = prefixes.get(orderId) ?? prefixesOf(orderId, eventsOf.get(orderId) ?? []);
    prefixes.set(orderId, known);
    const prefix = known[version - 1];
    const isPrefix = prefix !== undefined && equals(OrderSchema, normal(order), normal(orders.decode(orders.encode(prefix))));
    return isPrefix ? stale : [...stale, `I13: session ${session} read ${orderId} at version ${version}, which it never was`];
  });
}

function prefixesOf(orderId: string, events: Evidence["events"]): readonly object[] {
  const documents: object[] = [];
  for (const { event } of events) documents.push(orders.fold(documents.at(-1), orderId, event));
  return documents;
}

/** Through the document's codec, which keeps milliseconds. */
function normal(order: Order): Order {
  return orders.decode(orders.encode(order));
}
