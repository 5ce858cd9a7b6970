/** Commands of one order that are sent again, many at a time and across handlers: each is decided once (P2). */

import fc from "fast-check";
import { expect, it } from "vitest";
import {
  changeQuantity,
  connectOrderLog,
  createOrder,
  inquiry,
  openGateway,
  openOrderLog,
  orderIn,
  orders,
  problemsIn,
  startHandler,
  submission,
  submit,
} from "../../../test/support/order-runtime.ts";
import { CommandStage } from "../../gen/headwater/cqrs/v1/command_pb.ts";
import { systemClock } from "../../platform/clock.ts";
import type { Submission } from "./command-gateway.ts";
import { RETRY_AFTER_MS, TOO_MANY_OUTCOMES } from "./decide-command.ts";
import { MAX_OUTCOMES } from "./outcomes.ts";

const order = orderIn(0);

type Step =
  | { readonly kind: "commands"; readonly count: number }
  /** Some of those that were sent last come again, such as a batch that is in the log twice. */
  | { readonly kind: "again"; readonly back: number; readonly count: number }
  | { readonly kind: "handler"; readonly end: "stops" | "loses its connection" | "is joined by another" };

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant("commands" as const), count: fc.integer({ min: 1, max: 700 }) }),
    fc.record({ kind: fc.constant("again" as const), back: fc.integer({ min: 1, max: 2_000 }), count: fc.integer({ min: 1, max: 700 }) }),
    fc.record({ kind: fc.constant("handler" as const), end: fc.constantFrom("stops", "loses its connection", "is joined by another") }),
  ),
  { minLength: 6, maxLength: 14 },
);

it("each is decided once, however many are in flight, however they are sent again, and whoever decides them", async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (each) => {
      const log = await openOrderLog();
      const gateway = await openGateway(log);
      const sent: Submission[] = [];
      const send = (all: readonly Submission[]) => Promise.all(all.map((command) => submit(gateway, command, CommandStage.ACCEPTED)));
      let handlers = 0;
      const start = async () => {
        const connection = await connectOrderLog(log);
        return { connection, app: startHandler(connection, `handler-${(handlers += 1)}`) };
      };
      let running = await start();
      sent.push(submission(order, createOrder));
      await send(sent);
      for (const step of each) {
        if (step.kind === "commands") {
          const added = Array.from({ length: step.count }, (_, index) => submission(order, changeQuantity(3 + sent.length + index)));
          sent.push(...added);
          await send(added);
        } else if (step.kind === "again") await send(sent.slice(-step.back).slice(0, step.count));
        else {
          if (step.end === "stops") await running.app[Symbol.asyncDispose]();
          if (step.end === "loses its connection") {
            await running.connection[Symbol.asyncDispose]();
            await running.app.stopped.catch(() => undefined);
          }
          running = await start();
        }
      }
      // All of them once more: each gets the answer of its decision.
      const answers = await Promise.all(sent.map(async (command) => ({ ...(await submit(gateway, command)), aggregateId: order })));
      expect(answers.map(({ outcome }) => outcome?.version)).toEqual(sent.map((_, index) => index + 1));
      const [events] = await log.ends(orders.topics.events.name);
      expect(events).toBe(sent.length);
      const early = sent[Math.floor(sent.length / 3)] ?? submission(order, createOrder);
      expect((await submit(gateway, inquiry(early))).outcome).toEqual((await submit(gateway, early)).outcome);
      expect(await problemsIn(log, answers)).toEqual([]);
    }),
    { numRuns: 4 },
  );
});

it("an order takes no more commands than are remembered, says until when, and forgets them after a day", async () => {
  const log = await openOrderLog();
  let passedMs = 0;
  const gateway = await openGateway(log, { clock: { ...systemClock, now: () => Date.now() + passedMs } });
  startHandler(log);
  const first = submission(order, createOrder);
  const created = await submit(gateway, first);
  const commands = Array.from({ length: MAX_OUTCOMES - 1 }, (_, index) => submission(order, changeQuantity(3 + (index % 1_000))));
  const answers = await Promise.all(commands.map((command) => submit(gateway, command)));
  expect(answers.at(-1)?.outcome).toMatchObject({ version: MAX_OUTCOMES });

  const late = submission(order, changeQuantity(5_000));
  const refused = (await submit(gateway, late)).outcome;
  expect(refused?.rejection?.reason).toBe(TOO_MANY_OUTCOMES);
  const waitMs = Number(refused?.rejection?.metadata[RETRY_AFTER_MS]);
  expect(waitMs).toBeGreaterThan(24 * 60 * 60 * 1000);
  expect((await submit(gateway, inquiry(late))).outcome).toBeUndefined();
  expect((await submit(gateway, first)).outcome).toEqual(created.outcome);
  expect((await submit(gateway, submission(orderIn(0, "other"), createOrder))).outcome).toMatchObject({ version: 1 });

  passedMs = waitMs + 1_000;
  expect((await submit(gateway, late)).outcome).toMatchObject({ version: MAX_OUTCOMES + 1 });
  expect((await submit(gateway, inquiry(first))).outcome).toBeUndefined();
  expect(await problemsIn(log)).toEqual([]);
});
