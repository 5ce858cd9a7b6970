/** What watches and subscriptions promise, in both forms of the system. */

import { randomUUID } from "node:crypto";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DeliveredEvents, EventStart, type Headwater, type ListChange, OrderStatus } from "../../../sdk/src/index.ts";
import { connectGrpc } from "../../../sdk/src/node.ts";
import { newOrder } from "../../support/orders.ts";
import { type RunningSystem, systems } from "../../support/systems.ts";

describe.each(systems)("$title", ({ isMissing, start }) => {
  describe.skipIf(isMissing)("a system", () => {
    let system: RunningSystem;
    let headwater: Headwater & Disposable;

    beforeAll(async () => {
      system = await start();
      headwater = connectGrpc({ commandUrl: `http://${system.commandAddress}`, queryUrl: `http://${system.queryAddress}` });
    });
    afterAll(async () => {
      headwater[Symbol.dispose]();
      await system[Symbol.asyncDispose]();
    });

    it("shows an order before it is there, when it is, and each change", async () => {
      const session = headwater.session();
      const orderId = randomUUID();
      const [first] = await taken(headwater.queries.watchOrder({ orderId }), 1);
      expect(first?.order).toBeUndefined();
      const states = session.watchOrder({ orderId });
      const created = states.next();
      await session.createOrder(newOrder(orderId));
      expect((await created).value).toMatchObject({ orderId, version: 1, status: OrderStatus.DRAFT });
      await session.placeOrder({ orderId });
      expect((await states.next()).value).toMatchObject({ orderId, version: 2, status: OrderStatus.PLACED });
      await states.return();
    });

    it("shows what the caller does not have yet, and at least what he has written", async () => {
      const session = headwater.session();
      const { aggregateId: orderId } = await session.createOrder(newOrder(randomUUID()));
      const { consistencyToken } = await session.placeOrder({ orderId });
      const [state] = await taken(headwater.queries.watchOrder({ orderId, afterVersion: 1, consistencyToken }), 1);
      expect(state?.order).toMatchObject({ version: 2 });
      const [nothing] = await taken(headwater.queries.watchOrder({ orderId, afterVersion: 2, consistencyToken }), 1);
      expect(nothing?.order).toBeUndefined();
    });

    it("tells what becomes of a list, and what leaves it", async () => {
      const session = headwater.session();
      const customerId = randomUUID();
      const listed = await session.createOrder({ ...newOrder(randomUUID()), customerId });
      const changes = session.watchOrders({ filter: { customerId, statuses: [OrderStatus.DRAFT] } });
      expect(await untilTold(changes, listed.aggregateId)).toBe("order");
      const added = await session.createOrder({ ...newOrder(randomUUID()), customerId });
      await session.createOrder({ ...newOrder(randomUUID()), customerId: "somebody else" });
      expect(await untilTold(changes, added.aggregateId)).toBe("order");
      await session.placeOrder({ orderId: added.aggregateId });
      expect(await untilTold(changes, added.aggregateId)).toBe("leftOrderId");
      await changes.return();
    });

    it("goes on with a list where its position says", async () => {
      const session = headwater.session();
      const customerId = randomUUID();
      const filter = { customerId };
      const [first] = await taken(headwater.queries.watchOrders({ filter }), 1);
      const { aggregateId: orderId } = await session.createOrder({ ...newOrder(randomUUID()), customerId });
      await session.placeOrder({ orderId });
      const changes: string[] = [];
      for await (const response of headwater.queries.watchOrders({ filter, position: first?.position ?? "" })) {
        changes.push(
          ...response.changes.map(({ change }) => (change.case === "order" ? `${change.value.orderId}/${change.value.version}` : "")),
        );
        if (changes.includes(`${orderId}/2`)) break;
      }
      expect(changes.at(-1)).toBe(`${orderId}/2`);
    });

    it("delivers the events of an order, of a customer and of all, and goes on where a position says", async () => {
      const session = headwater.session();
      const customerId = randomUUID();
      const all = session.subscribeOrderEvents({ start: EventStart.END });
      await all.next();
      const orderIds = [randomUUID(), randomUUID(), randomUUID()];
      for (const orderId of orderIds) await session.createOrder({ ...newOrder(orderId), customerId });
      for (const orderId of orderIds) await session.placeOrder({ orderId });
      const everything = orderIds.flatMap((orderId) => [`${orderId}/1`, `${orderId}/2`]);
      // It may begin with what the test before has just written.
      expect(await delivered(all, 6, ({ customerId: of }) => of === customerId)).toEqual(everything.toSorted());
      expect(await delivered(session.subscribeOrderEvents({ customerId }), 6)).toEqual(everything.toSorted());
      const [orderId = ""] = orderIds;
      const ofOrder = session.subscribeOrderEvents({ orderId });
      let position = "";
      for await (const batch of ofOrder) {
        position = batch.position;
        if (batch.events.length > 0) break;
      }
      await session.cancelOrder({ orderId });
      expect(await delivered(session.subscribeOrderEvents({ orderId, position }), 1)).toEqual([`${orderId}/3`]);
    });

    it.each([
      ["nonsense", "nonsense"],
      ["a consistency token", undefined],
      ["a position of another subscription", "other"],
    ])("refuses %s as a position", async (_title, text) => {
      const receipt = await headwater.session().createOrder(newOrder(randomUUID()));
      const [other] = await taken(headwater.queries.subscribeOrderEvents({ customerId: "another" }), 1);
      const position = text === "other" ? (other?.position ?? "") : (text ?? receipt.consistencyToken);
      const refused = taken(headwater.queries.subscribeOrderEvents({ customerId: "ada", position }), 1);
      await expect(refused).rejects.toMatchObject({ code: Code.InvalidArgument, rawMessage: expect.stringContaining("position") });
    });
  });
});

async function taken<Item>(items: AsyncIterable<Item>, count: number): Promise<Item[]> {
  const found: Item[] = [];
  const iterator = items[Symbol.asyncIterator]();
  while (found.length < count) {
    const { value, done } = await iterator.next();
    if (done === true) break;
    found.push(value);
  }
  return found;
}

async function delivered(
  batches: AsyncIterable<DeliveredEvents>,
  count: number,
  isWanted: (event: DeliveredEvents["events"][number]) => boolean = () => true,
): Promise<string[]> {
  const ids: string[] = [];
  for await (const { events } of batches) {
    ids.push(...events.filter(isWanted).map(({ metadata }) => metadata?.eventId ?? ""));
    if (ids.length >= count) break;
  }
  return ids.toSorted();
}

/** What the next change that tells of an order says. What was listed may come once more, as a change. */
async function untilTold(changes: AsyncIterator<ListChange>, orderId: string): Promise<ListChange["case"]> {
  while (true) {
    const change: ListChange = (await changes.next()).value;
    if (orderId === (change.case === "order" ? change.value.orderId : change.value)) return change.case;
  }
}
