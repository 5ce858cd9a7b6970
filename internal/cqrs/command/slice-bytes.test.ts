/** Orders of a megabyte: what one transaction writes is bounded in bytes, and nothing is left out for it. */

import { expect, it } from "vitest";
import {
  changeQuantity,
  type OrderCommandInit,
  openGateway,
  openOrderLog,
  orders,
  problemsIn,
  startHandler,
  submission,
  submit,
} from "../../../test/support/order-runtime.ts";
import { CommandStage } from "../../gen/headwater/cqrs/v1/command_pb.ts";
import type { Log } from "../log.ts";

const ORDERS = 9;

/** What a slice writes, and the command that made it full. */
const MOST_BYTES = 12 * 1024 * 1024;

const lines = Array.from({ length: 1_000 }, (_, index) => ({
  lineId: String(index + 1),
  sku: "tea",
  description: "\u{1f375}".repeat(256),
  quantity: 2,
  unitPrice: { currencyCode: "EUR", minorUnits: 100n },
}));

const largeOrder: OrderCommandInit = { case: "createOrder", value: { currencyCode: "EUR", lines } };

it("large orders, and small commands of large orders, are decided in transactions of bounded size", async () => {
  const log = await openOrderLog();
  const gateway = await openGateway(log);
  const sizes: number[] = [];
  const observed: Log = {
    ...log,
    async own(options) {
      const owner = await log.own(options);
      return {
        ...owner,
        async transact(transaction) {
          sizes.push(transaction.records.reduce((sum, { value }) => sum + (value?.length ?? 0), 0));
          await owner.transact(transaction);
        },
      };
    },
  };
  const ids = Array.from({ length: ORDERS }, (_, index) => `large-${index}`);
  const all = ids.flatMap((id) => [submission(id, largeOrder), submission(id, changeQuantity(3))]);
  for (const command of all) await submit(gateway, command, CommandStage.ACCEPTED);
  startHandler(observed);
  const answers = await Promise.all(
    all.map(async (command) => ({ ...(await submit(gateway, command)), aggregateId: command.aggregateId })),
  );
  expect(answers.map(({ outcome }) => outcome?.version)).toEqual(ids.flatMap(() => [1, 2]));
  expect(Math.max(...sizes)).toBeLessThan(MOST_BYTES);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeGreaterThan(2 * ORDERS * 1_000_000);
  expect(await problemsIn(log, answers)).toEqual([]);
  expect((await log.ends(orders.topics.events.name)).reduce((sum, end) => sum + end, 0)).toBe(2 * ORDERS);
});
