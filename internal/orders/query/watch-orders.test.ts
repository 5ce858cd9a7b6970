import { create } from "@bufbuild/protobuf";
import { beforeEach, expect, it, onTestFinished } from "vitest";
import {
  changeQuantity,
  createOrder,
  type OrderCommandInit,
  openGateway,
  openOrderLog,
  orderIn,
  placeOrder,
  startHandler,
  startProjector,
  submission,
  submit,
} from "../../../test/support/order-runtime.ts";
import type { CommandGateway } from "../../cqrs/command/command-gateway.ts";
import { type Documents, DocumentsUnavailableError } from "../../cqrs/documents.ts";
import { createEventTail } from "../../cqrs/query/event-tail.ts";
import { startFreshness } from "../../cqrs/query/freshness.ts";
import { openEmbeddedDocuments } from "../../documents/embedded/open.ts";
import { CommandStage } from "../../gen/headwater/cqrs/v1/command_pb.ts";
import { OrderStatus } from "../../gen/headwater/orders/v1/order_pb.ts";
import { OrderFilterSchema } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { orders } from "../projection/order.ts";
import { orderHistory } from "../projection/order-history.ts";
import { orderViews } from "../projection/views.ts";
import { type ChangedOrders, changedOrders, watchOrders } from "./watch-orders.ts";

const forever = new AbortController().signal;
const drafts = create(OrderFilterSchema, { customerId: "ada", statuses: [OrderStatus.DRAFT] });

let gateway: CommandGateway;
let changed: ChangedOrders;
let isAway: boolean;
let maxBytes: number | undefined;

beforeEach(async () => {
  const documents: Documents = await openEmbeddedDocuments({ inMemory: true });
  onTestFinished(() => documents[Symbol.asyncDispose]());
  const log = await openOrderLog();
  gateway = await openGateway(log);
  startHandler(log);
  await documents.prepare(orderViews.map(({ collection }) => collection));
  startProjector(log, documents);
  const freshness = await startFreshness({ documents, views: orderViews });
  onTestFinished(() => freshness[Symbol.asyncDispose]());
  isAway = false;
  maxBytes = undefined;
  const failing: Pick<Documents, "load"> = {
    async load(collection, ids) {
      if (isAway) throw new DocumentsUnavailableError("away");
      return documents.load(collection, ids, maxBytes);
    },
  };
  const tail = createEventTail({ documents, freshness, view: orderHistory, alongside: [orders] });
  changed = changedOrders(failing, tail, freshness);
});

it("an order that changed often is shown once, as it is, by who comes late", async () => {
  // In one partition, so that the second is told last.
  const [often, last] = [orderIn(0, "often"), orderIn(0, "last")];
  const changes = [createOrder, ...Array.from({ length: 600 }, (_, index) => changeQuantity(3 + index))];
  for (const change of changes) await decide(often, change, CommandStage.DECIDED);
  await decide(last, createOrder);
  expect(await told(drafts, [often, last])).toEqual([`${last}/1`, `${often}/601`]);
});

it("orders that are too large to be loaded together are told one after the other, and the position comes with the last", async () => {
  maxBytes = 1;
  const ids = ["a", "b", "c"].map((name) => orderIn(0, name));
  for (const id of ids) await decide(id, createOrder, id === ids.at(-1) ? CommandStage.PROJECTED : CommandStage.DECIDED);
  const batches: (readonly [count: number, sequence: number | undefined])[] = [];
  for await (const { changes, position } of watchOrders(changed, { filter: drafts, from: new Map() }, forever)) {
    batches.push([changes.length, position.get(0)?.sequence]);
    if (batches.length === ids.length) break;
  }
  expect(batches).toEqual([
    [1, undefined],
    [1, undefined],
    [1, 3],
  ]);
});

it("what does not match any more has left; what never could is not told", async () => {
  await decide("other", { case: "createOrder", value: { ...createOrder.value, customerId: "bob" } } as OrderCommandInit);
  await decide("other", placeOrder);
  await decide("left", createOrder);
  await decide("left", placeOrder);
  await decide("stayed", createOrder);
  expect(await told(drafts, ["left", "stayed"])).toEqual(["left gone", "stayed/1"]);
});

it("who comes back after the documents were away sees what he missed", async () => {
  await decide("o-1", createOrder);
  isAway = true;
  await expect(told(drafts, ["o-1"])).rejects.toThrow(DocumentsUnavailableError);
  isAway = false;
  expect(await told(drafts, ["o-1"])).toEqual(["o-1/1"]);
});

async function decide(orderId: string, command: OrderCommandInit, stage: CommandStage = CommandStage.PROJECTED): Promise<void> {
  const { outcome } = await submit(gateway, submission(orderId, command), stage);
  expect(outcome?.rejection).toBeUndefined();
}

/** What is told from the beginning until these orders were, sorted. */
async function told(filter: typeof drafts, orderIds: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  const missing = new Set(orderIds);
  for await (const { changes } of watchOrders(changed, { filter, from: new Map() }, forever)) {
    for (const { change } of changes) {
      const id = change?.case === "order" ? change.value.orderId : change?.value;
      found.push(change?.case === "order" ? `${id}/${change.value.version}` : `${id} gone`);
      missing.delete(id ?? "");
    }
    if (missing.size === 0) break;
  }
  return found.toSorted();
}

it("a filter that cannot be answered is refused before anything is watched", () => {
  const filter = create(OrderFilterSchema, { text: "🎁" });
  expect(() => watchOrders(changed, { filter, from: new Map() }, forever)).toThrow("no letter or digit");
});
