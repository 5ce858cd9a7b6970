/** What parking promises of every document store: an event that a view cannot apply holds up its key and nothing else, and is never passed over. */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  changeQuantity,
  createOrder,
  openGateway,
  openOrderLog,
  orderIn,
  orders,
  placeOrder,
  startHandler,
  startProjector,
  submission,
  submit,
} from "../../../test/support/order-runtime.ts";
import { OrderCancelledSchema, type OrderEvent, OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { type Documents, NEWS } from "../documents.ts";
import { SEQUENCE_HEADER } from "../event/event-headers.ts";
import type { Log } from "../log.ts";
import type { Projection } from "../projection.ts";
import { startBuild } from "../projector/generation-changes.ts";
import { openCatalogue } from "../projector/generations.ts";
import { listParked, loadParkedById, type ParkedKey, requestParked } from "../projector/parking.ts";
import { verifyView } from "../projector/verify-view.ts";
import type { ViewsUnderTest } from "./projector-suite.ts";

const [view, ...others] = orders.views as [Projection, ...Projection[]];
const poisoned = orderIn(0, "poisoned");
const neighbour = orderIn(0, "neighbour");
const deadline = { timeout: 30_000, interval: 10 };

/** A view whose fold fails on some versions of one order, as long as it is not corrected. */
function breaking(versions: readonly number[], of: Projection = view) {
  const state = { isCorrected: false };
  const fold: Projection["fold"] = (before, id, event) => {
    const { version = 0, aggregateId } = (event as { metadata?: { version: number; aggregateId: string } }).metadata ?? {};
    if (!state.isCorrected && aggregateId === poisoned && versions.includes(version))
      throw new RangeError(`version ${version} is too much`);
    return of.fold(before, id, event);
  };
  return { state, view: { ...of, fold } satisfies Projection };
}

interface System {
  readonly log: Log;
  readonly documents: Documents;
  readonly handler: AsyncDisposable;
  readonly gateway: Awaited<ReturnType<typeof openGateway>>;
}

/** Two orders of one partition, event by event in turn; all views but a parked key of one show all of it afterwards. */
async function write({ gateway, log, documents }: System, changes: number): Promise<void> {
  for (const id of [poisoned, neighbour]) await submit(gateway, submission(id, createOrder));
  for (let count = 0; count < changes; count += 1) {
    for (const id of [poisoned, neighbour]) await submit(gateway, submission(id, changeQuantity(3 + count)));
  }
  await untilApplied(log, documents);
}

async function untilApplied(log: Log, documents: Documents): Promise<void> {
  const [end = 0] = await log.ends(orders.topics.events.name);
  for (const { collection } of orders.views) {
    const reached = async () => (await documents.checkpoints(collection.name)).find(({ partition }) => partition === 0)?.nextOffset;
    await expect.poll(reached, deadline).toBe(end);
  }
}

async function versionOf(documents: Documents, id: string): Promise<unknown> {
  return (await documents.load(view.collection.name, [id]))[0]?.fields["version"];
}

async function ask(documents: Documents, entry: ParkedKey | undefined, action: "retry" | "skip"): Promise<ParkedKey> {
  if (entry === undefined) throw new Error("nothing is parked");
  expect(await requestParked(documents, entry, { action, reason: "a test", by: "me", atMs: Date.now() })).toBe(true);
  let answered: ParkedKey | undefined;
  const isAnswered = async () => {
    [answered] = await loadParkedById(documents, [entry.id]);
    return answered?.request;
  };
  await expect.poll(isAnswered, deadline).toBeUndefined();
  return answered as ParkedKey;
}

async function mismatches({ log, documents }: System, of: Projection): Promise<readonly object[]> {
  const source = { log, documents, events: orders.events, topics: orders.topics, signal: AbortSignal.timeout(30_000) };
  return (await verifyView({ ...source, view: of, all: true })).mismatches;
}

/** Runs the suite on a document store. */
export function describeParking(store: string, open: () => Promise<ViewsUnderTest>): void {
  describe(store, () => {
    let views: ViewsUnderTest;
    beforeAll(async () => {
      views = await open();
    });
    afterAll(() => views[Symbol.asyncDispose]());

    async function started(): Promise<System> {
      await views.empty();
      const log = await openOrderLog();
      const handler = startHandler(log);
      return { log, documents: views.documents, handler, gateway: await openGateway(log) };
    }

    it("the order waits at the event before, all others go on, and after the correction it catches up in order", async () => {
      const system = await started();
      const { documents } = system;
      const broken = breaking([3, 6]);
      startProjector(system.log, documents, "projector", { views: [broken.view, ...others] });
      await write(system, 9);
      expect(await versionOf(documents, poisoned)).toBe(2);
      expect(await versionOf(documents, neighbour)).toBe(10);
      const [entry, ...more] = await listParked(documents);
      expect(more).toEqual([]);
      expect(entry).toMatchObject({ view: view.name, scope: "document", key: poisoned, state: "parked", depth: 8 });
      expect(entry).toMatchObject({ error: "version 3 is too much", event: { aggregateId: poisoned } });
      const still = await ask(documents, entry, "retry");
      expect(still).toMatchObject({ state: "parked", depth: 8, answers: [{ action: "retry", error: "version 3 is too much" }] });
      broken.state.isCorrected = true;
      expect(await ask(documents, still, "retry")).toMatchObject({ state: "retried", depth: 0 });
      expect(await versionOf(documents, poisoned)).toBe(10);
      await submit(system.gateway, submission(poisoned, placeOrder));
      await untilApplied(system.log, documents);
      expect(await versionOf(documents, poisoned)).toBe(11);
      expect(await mismatches(system, view)).toEqual([]);
    });

    it("an event that is left out is gone on behind, up to the next that fails, and the reason is kept", async () => {
      const system = await started();
      const { documents } = system;
      const broken = breaking([3, 6]);
      startProjector(system.log, documents, "projector", { views: [broken.view, ...others] });
      await write(system, 9);
      const [first] = await listParked(documents);
      const second = await ask(documents, first, "skip");
      expect(second).toMatchObject({ state: "parked", error: "version 6 is too much", depth: 5 });
      expect(await versionOf(documents, poisoned)).toBe(5);
      const done = await ask(documents, second, "skip");
      expect(done).toMatchObject({ state: "skipped", depth: 0, answers: [{ reason: "a test", by: "me" }, { action: "skip" }] });
      expect(done.skipped).toHaveLength(2);
      expect(await versionOf(documents, poisoned)).toBe(10);
      expect(await mismatches(system, broken.view)).toEqual([]);
    });

    it("what waits, waits on after a restart, and newcomers queue up behind it", async () => {
      const system = await started();
      const { documents, log } = system;
      const broken = breaking([2]);
      const first = startProjector(log, documents, "projector", { views: [broken.view, ...others] });
      await write(system, 2);
      await first[Symbol.asyncDispose]();
      await submit(system.gateway, submission(poisoned, changeQuantity(50)));
      startProjector(log, documents, "projector");
      await untilApplied(log, documents);
      expect(await versionOf(documents, poisoned)).toBe(1);
      const [entry] = await listParked(documents);
      expect(entry).toMatchObject({ depth: 3 });
      await ask(documents, entry, "retry");
      expect(await versionOf(documents, poisoned)).toBe(4);
      expect(await mismatches(system, view)).toEqual([]);
    });

    it("a request that was made while no projector ran is done by the next", async () => {
      const system = await started();
      const { documents, log } = system;
      const broken = breaking([2]);
      const first = startProjector(log, documents, "projector", { views: [broken.view, ...others] });
      await write(system, 2);
      await first[Symbol.asyncDispose]();
      const [entry] = await listParked(documents);
      await requestParked(documents, entry as ParkedKey, { action: "retry", reason: "", by: "somebody whose clock is ahead", atMs: 9 });
      const [again] = await listParked(documents);
      await requestParked(documents, again as ParkedKey, { action: "retry", reason: "", by: "me", atMs: 1 });
      // Who watches is told of it all the same.
      expect(await documents.checkpoints(`${NEWS}parked`)).toMatchObject([{ nextOffset: 1 }]);
      startProjector(log, documents, "projector");
      await expect.poll(() => listParked(documents), deadline).toEqual([]);
      expect(await versionOf(documents, poisoned)).toBe(3);
    });

    it("what cannot be stored is parked at the event that brought it in", async () => {
      const system = await started();
      const { documents } = system;
      const encode: Projection["encode"] = (document, applied) => {
        const { version: reached = 0, orderId } = document as { readonly version?: number; readonly orderId?: string };
        if (orderId === poisoned && reached >= 4) throw new RangeError("too large for a document");
        return view.encode(document, applied);
      };
      startProjector(system.log, documents, "projector", { views: [{ ...view, encode }, ...others] });
      await write(system, 6);
      expect(await versionOf(documents, poisoned)).toBe(3);
      expect(await listParked(documents)).toMatchObject([{ error: "too large for a document", depth: 4 }]);
    });

    it("an event of an unknown kind holds up its order in every view, and a record that is no event nothing", async () => {
      const system = await started();
      const { documents, log, handler } = system;
      await submit(system.gateway, submission(poisoned, createOrder));
      await handler[Symbol.asyncDispose]();
      await appendUnreadable(log);
      startProjector(log, documents);
      await untilApplied(log, documents);
      const parked = await listParked(documents, { all: true });
      expect(
        parked
          .filter(({ scope }) => scope === "aggregate")
          .map(({ view: name }) => name)
          .toSorted(),
      ).toEqual(orders.views.map(({ name }) => name).toSorted());
      expect(parked.filter(({ scope }) => scope === "record")).toHaveLength(orders.views.length);
      expect(parked.find(({ scope, view: name }) => scope === "aggregate" && name === view.name)).toMatchObject({
        key: poisoned,
        depth: 2,
        error: expect.stringContaining("says nothing"),
      });
      expect(await versionOf(documents, poisoned)).toBe(1);
      expect(await versionOf(documents, neighbour)).toBe(1);
      for (const entry of parked) await ask(documents, entry, "skip");
      expect(await versionOf(documents, poisoned)).toBe(3);
      // Documents of several orders have gone on meanwhile: only a rebuild brings in what waited.
      const left = await listParked(documents);
      expect(left.map(({ view: name }) => name).toSorted()).toEqual(["customer-summary", "order-counts"]);
      expect(left.every(({ error }) => error.includes("headwater views rebuild"))).toBe(true);
      const summaries = orders.views.filter(({ name }) => name === "customer-summary");
      const catalogue = openCatalogue(documents);
      for (const each of summaries) {
        for (const builds of [1, 2]) {
          await catalogue.change(each, (before) => startBuild(before, { version: each.version, pace: 100, nowMs: 1 }));
          await expect
            .poll(async () => (await catalogue.load([each]))[0]?.live.collection, deadline)
            .toBe(`customer-summary.v1.b${builds}`);
        }
        await expect.poll(async () => (await listParked(documents)).map(({ view: name }) => name), deadline).not.toContain(each.name);
      }
    });

    it("a rebuild waits for keys that are parked in it alone, and not for those that wait in the live one too", async () => {
      const system = await started();
      const { documents, log } = system;
      const broken = breaking([2]);
      const first = startProjector(log, documents);
      await write(system, 3);
      await first[Symbol.asyncDispose]();
      startProjector(log, documents, "projector", { views: [broken.view, ...others] });
      const catalogue = openCatalogue(documents);
      const entry = async () => (await catalogue.load([view]))[0];
      await catalogue.change(view, (before) => startBuild(before, { version: view.version, pace: 100, nowMs: 1 }));
      await expect.poll(async () => (await entry())?.building?.note, deadline).toContain("1 keys are parked");
      const [parked] = await listParked(documents);
      await ask(documents, parked, "skip");
      await expect.poll(async () => (await entry())?.live.collection, deadline).toBe(`${view.collection.name}.b1`);
      // What an operator has left out once is left out of the next generation as well.
      await catalogue.change(view, (before) => startBuild(before, { version: view.version, pace: 100, nowMs: 1 }));
      await expect.poll(async () => (await entry())?.live.collection, deadline).toBe(`${view.collection.name}.b2`);
    });
  });
}

/** An event from the future and one behind it, a record of somebody else, and an event of another order. */
async function appendUnreadable(log: Log): Promise<void> {
  const { name: topic } = orders.topics.events;
  const [first] = await Array.fromAsync(await log.tail({ topic, partition: 0, from: 0, to: 1, signal: AbortSignal.timeout(9_000) }));
  const created = fromBinary(OrderEventSchema, first?.[0]?.value ?? new Uint8Array());
  const event = (key: string, version: number, sequence: bigint, facts: OrderEvent["event"]) => {
    const { metadata } = created;
    if (metadata === undefined) throw new Error("the first event has no metadata");
    const own: OrderEvent = {
      ...created,
      metadata: { ...metadata, aggregateId: key, eventId: `${key}/${version}`, version, sequence },
      event: facts,
    };
    return { topic, partition: 0, key, value: toBinary(OrderEventSchema, own), headers: { [SEQUENCE_HEADER]: String(sequence) } };
  };
  const cancelled: OrderEvent["event"] = { case: "orderCancelled", value: create(OrderCancelledSchema) };
  await log.append([
    event(poisoned, 2, 2n, { case: undefined }),
    { topic, partition: 0, key: neighbour, value: new TextEncoder().encode("something else") },
    event(poisoned, 3, 3n, cancelled),
    event(neighbour, 1, 4n, created.event),
  ]);
}
