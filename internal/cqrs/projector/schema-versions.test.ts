/** A log that outlives the schema of its events: written by today's code, gone on with and read by tomorrow's. */

import { expect, it, onTestFinished } from "vitest";
import { checkHistory, readHistory } from "../../../test/support/history-checker.ts";
import {
  changeQuantity,
  createOrder,
  openGateway,
  openOrderLog,
  orders,
  placeOrder,
  startHandler,
  startProjector,
  submission,
  submit,
} from "../../../test/support/order-runtime.ts";
import { type EmbeddedDocuments, openEmbeddedDocuments } from "../../documents/embedded/open.ts";
import { type OrderEvent, OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import type { DeployedDomain } from "../domain.ts";
import type { Log } from "../log.ts";
import type { Projection } from "../projection.ts";
import { createEventReader, NewerEventError, type Upcasters } from "../upcasting.ts";
import { verifyView } from "./verify-view.ts";

const today = orders.events.schemaVersion;
const [view, history] = orders.views;

/** Tomorrow's code: every quantity that was written until today was in pairs. */
const events = createEventReader({
  event: OrderEventSchema,
  schemaVersion: today + 1,
  upcasters: {
    lineQuantityChanged: {
      [today]: (facts) => ({ event: { case: "lineQuantityChanged", value: { ...facts, quantity: 2 * facts.quantity } } }),
    },
  } satisfies Upcasters<typeof OrderEventSchema>,
});
const tomorrow: DeployedDomain = { ...orders.domain, events };

it("views that are built by newer code show what older events mean today", async () => {
  const [log, documents] = [await written(), await openDocuments()];
  startProjector(log, documents, "projector", { events });
  await untilShown(documents, 3);
  expect((await loaded(documents))["lines"]).toMatchObject([{ quantity: 8 }]);
});

it("the history keeps what was written, and older code still reads it", async () => {
  const [log, documents] = [await written(), await openDocuments()];
  startProjector(log, documents, "projector", { events });
  await untilShown(documents, 3);
  const [, , changed] = (await documents.find({ collection: history?.collection.name ?? "", where: [], sort: [], limit: 10 })).documents;
  expect(changed?.fields).toMatchObject({ lineQuantityChanged: { quantity: 4 }, metadata: { schemaVersion: today } });
  const read = history?.decode(changed?.fields ?? {}) as OrderEvent;
  expect(events.upcast(read)).toMatchObject({ metadata: { version: 3, schemaVersion: today + 1 }, event: { value: { quantity: 8 } } });
});

it("verification finds what older code made of events that mean something else today, and the history is what was written", async () => {
  const [log, documents] = [await written(), await openDocuments()];
  startProjector(log, documents);
  await untilShown(documents, 3);
  const compared = { log, documents, events, topics: orders.topics, all: true, signal: new AbortController().signal };
  const found = await Promise.all([view, history].map((each) => verifyView({ ...compared, view: each as Projection })));
  expect(found.map(({ mismatches }) => mismatches.map(({ id }) => id))).toEqual([["order-1"], []]);
});

it("a log that two versions have written is whole to the newer code", async () => {
  const log = await written({ ...orders.domain, events: createEventReader({ event: OrderEventSchema, schemaVersion: 1, upcasters: {} }) });
  await goneOnWith(log, orders.domain);
  const records = await readHistory(log, orders.domain);
  expect(checkHistory(orders.domain, records, [])).toEqual([]);
});

it("older code that meets a newer event stops there and says what to do", async () => {
  const [log, documents] = [await written(), await openDocuments()];
  await goneOnWith(log, tomorrow);
  const { stopped } = startProjector(log, documents);
  await expect(stopped).rejects.toThrow(NewerEventError);
  await expect(stopped).rejects.toThrow(
    `order-1/4 (orderPlaced) has schema version ${today + 1}, and this code knows none beyond ${today}: bring the newer code here first`,
  );
  startProjector(log, documents, "newer", { events });
  await untilShown(documents, 4);
});

async function written(domain?: DeployedDomain): Promise<Log> {
  const log = await openOrderLog();
  await using _handler = startHandler(log, "today", domain);
  const gateway = await openGateway(log);
  for (const command of [createOrder, changeQuantity(3), changeQuantity(4)]) {
    await submit(gateway, submission("order-1", command));
  }
  return log;
}

async function goneOnWith(log: Log, domain: DeployedDomain): Promise<void> {
  await using _handler = startHandler(log, "tomorrow", domain);
  await submit(await openGateway(log), submission("order-1", placeOrder));
}

async function openDocuments(): Promise<EmbeddedDocuments> {
  const documents = await openEmbeddedDocuments({ inMemory: true });
  onTestFinished(() => documents[Symbol.asyncDispose]());
  return documents;
}

async function loaded(documents: EmbeddedDocuments): Promise<Readonly<Record<string, unknown>>> {
  return (await documents.load(view?.collection.name ?? "", ["order-1"]))[0]?.fields ?? {};
}

async function untilShown(documents: EmbeddedDocuments, version: number): Promise<void> {
  await expect.poll(async () => (await loaded(documents))["version"], { timeout: 30_000 }).toBe(version);
}
