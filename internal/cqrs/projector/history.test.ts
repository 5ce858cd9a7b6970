/** Random commands of several clients against the whole write side, judged by what they left in the log. */

import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { expect, it } from "vitest";
import {
  changeQuantity,
  connectOrderLog,
  createOrder,
  inquiry,
  type OrderCommandInit,
  openGateway,
  openOrderLog,
  orders,
  placeOrder,
  problemsIn,
  startHandler,
  submission,
  submit,
} from "../../../test/support/order-runtime.ts";
import type { Submitted } from "../command/command-gateway.ts";

const eur = (minorUnits: number) => ({ currencyCode: "EUR", minorUnits: BigInt(minorUnits) });

const command: fc.Arbitrary<OrderCommandInit> = fc.oneof(
  fc.constantFrom(createOrder, placeOrder),
  fc.integer({ min: 1, max: 4 }).map(changeQuantity),
  fc.constantFrom<OrderCommandInit>(
    { case: "recordPayment", value: { paymentId: "p", amount: eur(200), method: "card" } },
    { case: "shipOrder", value: { shipmentId: "s" } },
    { case: "deliverOrder", value: {} },
    { case: "cancelOrder", value: { reason: "no" } },
    { case: "returnItems", value: { returnId: "r", lines: [{ lineId: "1", quantity: 1 }] } },
    { case: "refundOrder", value: { refundId: "f", amount: eur(100) } },
  ),
);

const step = fc.record({
  client: fc.integer({ min: 0, max: 2 }),
  order: fc.integer({ min: 0, max: 5 }),
  command,
  /** Few ids, so that some are used again, for the same facts or for others. */
  commandId: fc.option(fc.integer({ min: 0, max: 9 }), { freq: 3 }),
  expectedVersion: fc.option(fc.integer({ min: 0, max: 4 }), { freq: 2 }),
  after: fc.constantFrom("nothing", "nothing", "nothing", "ask", "repeat", "bad record", "next handler"),
});

it("whatever clients send, every command is decided once and the history is whole", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 30, maxLength: 120 }), async (steps) => {
      const log = await openOrderLog();
      const connection = await connectOrderLog(log);
      const handlers = [startHandler(log, "handler-0"), startHandler(connection, "handler-1")];
      const gateways = [await openGateway(log), await openGateway(connection), await openGateway(log)] as const;
      const run = randomUUID().slice(0, 23);
      const answered: (Submitted & { aggregateId: string })[] = [];
      const clients = gateways.map(async (gateway, client) => {
        for (const { order, command: facts, commandId, expectedVersion, after } of steps.filter((each) => each.client === client)) {
          const options = {
            commandId: commandId === null ? randomUUID() : `${run}-${String(commandId).padStart(12, "0")}`,
            ...(expectedVersion === null ? {} : { expectedVersion }),
          };
          const sent = submission(`order-${order}`, facts, options);
          const send = async (submitted = sent): Promise<void> =>
            void answered.push({ ...(await submit(gateway, submitted)), aggregateId: sent.aggregateId });
          if (after === "next handler") handlers.push(startHandler(log, `handler-${handlers.length}`));
          if (after === "bad record")
            await log.append([{ topic: orders.topics.commands.name, partition: order % 4, key: "bad", value: Uint8Array.of(255) }]);
          await Promise.all([send(), ...(after === "repeat" ? [send(), send()] : [])]);
          if (after === "ask") await send(inquiry(sent));
        }
      });
      await Promise.all(clients);
      expect(answered.length).toBeGreaterThanOrEqual(steps.length);
      await Promise.all(handlers.map((handler) => handler[Symbol.asyncDispose]()));
      expect(await problemsIn(log, answered)).toEqual([]);
      for (const gateway of gateways) await gateway[Symbol.asyncDispose]();
      await connection[Symbol.asyncDispose]();
      await log[Symbol.asyncDispose]();
    }),
    { numRuns: 15, endOnFailure: true },
  );
});
