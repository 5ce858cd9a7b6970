/** Those who wait for views learn how far they are. That views are the folds of their events, `testing/projector-suite.ts` holds of each store. */

import { fromBinary } from "@bufbuild/protobuf";
import { expect, it, onTestFinished } from "vitest";
import {
  createOrder,
  openGateway,
  openOrderLog,
  orders,
  startHandler,
  startProjector,
  submission,
  submit,
} from "../../../test/support/order-runtime.ts";
import { openEmbeddedDocuments } from "../../documents/embedded/open.ts";
import { CommandStage } from "../../gen/headwater/cqrs/v1/command_pb.ts";
import { type ViewProgress, ViewProgressSchema } from "../../gen/headwater/cqrs/v1/record_pb.ts";
import type { Projection } from "../projection.ts";
import { createProgressTeller } from "./progress-teller.ts";

it("a caller who waits for the views reads what he wrote", async () => {
  const log = await openOrderLog();
  const documents = await openEmbeddedDocuments({ inMemory: true });
  onTestFinished(() => documents[Symbol.asyncDispose]());
  startHandler(log);
  startProjector(log, documents);
  const gateway = await openGateway(log);
  for (let count = 0; count < 20; count += 1) {
    const projected = await submit(gateway, submission(`order-${count}`, createOrder), CommandStage.PROJECTED);
    expect(projected).toMatchObject({ stage: CommandStage.PROJECTED, pendingViews: [] });
    expect((await documents.load(orders.views[0]?.collection.name ?? "", [`order-${count}`]))[0]?.fields["version"]).toBe(1);
  }
});

it("a caller who waits for views that nobody builds learns which", async () => {
  const log = await openOrderLog();
  startHandler(log);
  const gateway = await openGateway(log);
  const command = submission("order-1", createOrder);
  await submit(gateway, command);
  const names = orders.views.map(({ name }) => name);
  const answer = await gateway.submit(command, { stage: CommandStage.PROJECTED, views: names, signal: AbortSignal.timeout(300) });
  expect(answer).toMatchObject({ stage: CommandStage.DECIDED, pendingViews: names, outcome: { version: 1 } });
});

it("a caller is not told that views show a command while they are built again", async () => {
  const log = await openOrderLog();
  startHandler(log);
  const gateway = await openGateway(log);
  const command = submission("order-1", createOrder);
  const first = await openEmbeddedDocuments({ inMemory: true });
  onTestFinished(() => first[Symbol.asyncDispose]());
  const projector = startProjector(log, first);
  expect(await submit(gateway, command, CommandStage.PROJECTED)).toMatchObject({ stage: CommandStage.PROJECTED });
  await projector[Symbol.asyncDispose]();

  const again = await openEmbeddedDocuments({ inMemory: true });
  onTestFinished(() => again[Symbol.asyncDispose]());
  const released = Promise.withResolvers<void>();
  startProjector(log, {
    ...again,
    async write(writes, checkpoints) {
      if (checkpoints.some(({ collection, sequence }) => collection === orders.views[0]?.collection.name && sequence > 0))
        await released.promise;
      return again.write(writes, checkpoints);
    },
  });
  const names = orders.views.map(({ name }) => name);
  const askAgain = () => gateway.submit(command, { stage: CommandStage.PROJECTED, views: names, signal: AbortSignal.timeout(300) });
  await expect.poll(askAgain, { timeout: 60_000 }).toMatchObject({ stage: CommandStage.DECIDED, pendingViews: names });
  released.resolve();
  expect(await submit(gateway, command, CommandStage.PROJECTED)).toMatchObject({ stage: CommandStage.PROJECTED, pendingViews: [] });
});

it("a projector says nothing more of partitions that it has lost", () => {
  const [view] = orders.views as [Projection];
  const generation = { ...view, collection: { ...view.collection, name: "live" } };
  const told: string[] = [];
  const repeats: (() => void)[] = [];
  const progress = createProgressTeller({
    log: {
      append(records) {
        told.push(...records.map(({ value }) => placeOf(fromBinary(ViewProgressSchema, value ?? new Uint8Array()))));
        return Promise.resolve([]);
      },
    },
    clock: {
      now: () => 0,
      after(_delayMs, callback) {
        repeats.push(callback);
        return () => undefined;
      },
    },
    topics: orders.topics,
    entries: () => [{ view: view.name, revision: 1, streams: [], live: { collection: "live", version: 1 }, abandoned: [], builds: 0 }],
  });
  const at = (partition: number, sequence: number) => ({ generation, stream: "stream-1", partition, sequence });
  progress.tell([at(0, 5), at(1, 7)]);
  progress.keep(new Set([1]));
  repeats.at(-1)?.();
  progress.keep(new Set([0, 1]));
  progress.tell([at(0, 9)]);
  repeats.at(-1)?.();
  expect(told).toEqual(["0/5", "1/7", "1/7", "0/9", "1/7", "0/9"]);
});

function placeOf({ partition, sequence }: ViewProgress): string {
  return `${partition}/${sequence}`;
}
