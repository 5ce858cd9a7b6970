/** Every view is the fold of its events, whatever happens to those who build it. */

import fc from "fast-check";
import { expect, it, onTestFinished } from "vitest";
import { readHistory } from "../../test/support/history-checker.ts";
import {
  changeQuantity,
  createOrder,
  openGateway,
  openOrderLog,
  orderIn,
  orders,
  partitions,
  placeOrder,
  startHandler,
  startProjector,
  submission,
  submit,
} from "../../test/support/order-runtime.ts";
import { type EmbeddedDocuments, openEmbeddedDocuments } from "../documents/embedded/open.ts";
import { CommandStage } from "../gen/headwater/cqrs/v1/command_pb.ts";
import { type Checkpoint, type Documents, DocumentsUnavailableError } from "./documents.ts";
import type { Log, LogRecord } from "./log.ts";
import type { Projection } from "./projection.ts";
import { GapError } from "./projector.ts";

const pageLimit = 1_000;

async function openDocuments(): Promise<EmbeddedDocuments> {
  const documents = await openEmbeddedDocuments({ inMemory: true });
  onTestFinished(() => documents[Symbol.asyncDispose]());
  return documents;
}

/** A log with a history of several orders in all partitions. */
async function written(orderCount = 8, changes = 10): Promise<Log> {
  const log = await openOrderLog();
  const handler = startHandler(log);
  const gateway = await openGateway(log);
  await Promise.all(
    Array.from({ length: orderCount }, async (_, index) => {
      const id = orderIn(index % partitions, `order-${index}`);
      await submit(gateway, submission(id, createOrder));
      for (let count = 0; count < changes; count += 1) await submit(gateway, submission(id, changeQuantity(3 + count)));
      if (index % 2 === 0) await submit(gateway, submission(id, placeOrder));
    }),
  );
  await handler[Symbol.asyncDispose]();
  return log;
}

async function eventRecords(log: Log): Promise<readonly LogRecord[]> {
  return (await readHistory(log, orders.domain)).flatMap(({ events }) => events);
}

/** The documents of a view as the fold of all events makes them, by id. */
function folded(view: Projection, records: readonly LogRecord[]): Map<string, unknown> {
  const documents = new Map<string, object>();
  for (const record of records) {
    const event = orders.events.read(record.value);
    for (const id of view.keys(event)) documents.set(id, view.fold(documents.get(id), id, event));
  }
  return new Map([...documents].map(([id, document]) => [id, view.decode(view.encode(document))]));
}

async function stored(view: Projection, documents: Documents): Promise<Map<string, unknown>> {
  const page = await documents.find({ collection: view.collection.name, where: [], sort: [], limit: pageLimit });
  return new Map(page.documents.map(({ id, fields }) => [id, view.decode(fields)]));
}

async function untilProjected(log: Log, documents: Documents): Promise<void> {
  const ends = await log.ends(orders.topics.events.name);
  for (const view of orders.views) {
    const behind = async () => {
      const checkpoints = await documents.checkpoints(view.collection.name);
      return ends.filter((end, partition) => end > (checkpoints.find((each) => each.partition === partition)?.nextOffset ?? 0));
    };
    await expect.poll(behind, { timeout: 30_000 }).toEqual([]);
  }
}

async function expectFolds(log: Log, documents: Documents): Promise<void> {
  const records = await eventRecords(log);
  for (const view of orders.views) {
    const expected = folded(view, records);
    expect(expected.size).toBeGreaterThan(0);
    expect(await stored(view, documents)).toEqual(expected);
  }
}

it("every view is the fold of its events", async () => {
  const [log, documents] = [await written(), await openDocuments()];
  startProjector(log, documents);
  await untilProjected(log, documents);
  await expectFolds(log, documents);
});

it("events that are delivered again from any earlier checkpoint change nothing", async () => {
  const [log, documents] = [await written(4, 5), await openDocuments()];
  await projectOnce(log, documents);
  const before = await Promise.all(orders.views.map((view) => stored(view, documents)));
  const ends = await log.ends(orders.topics.events.name);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(), { minLength: partitions * orders.views.length, maxLength: partitions * orders.views.length }),
      async (places) => {
        const checkpoints = orders.views.flatMap((view, index) =>
          ends.map((end, partition): Checkpoint => {
            // The history is written by one transaction after another: offset and sequence count alike.
            const offset = (places[index * partitions + partition] ?? 0) % (end + 1);
            return { collection: view.collection.name, partition, logId: log.id, nextOffset: offset, sequence: offset, eventTimeMs: 0 };
          }),
        );
        await documents.write([], checkpoints);
        await projectOnce(log, documents);
        expect(await Promise.all(orders.views.map((view) => stored(view, documents)))).toEqual(before);
      },
    ),
    { numRuns: 20 },
  );
});

it("two projectors that both believe to own every partition do no harm", async () => {
  const [log, documents] = [await written(), await openDocuments()];
  startProjector(log, documents, "one");
  startProjector(inAnotherGroup(log), documents, "two");
  startProjector(log, documents, "three");
  await untilProjected(log, documents);
  await expectFolds(log, documents);
});

it("a projector that stops between documents and checkpoint is continued by the next", async () => {
  const [log, documents] = [await written(), await openDocuments()];
  const failing: Documents = {
    ...documents,
    async write(writes, checkpoints) {
      if (writes.length === 0) return documents.write(writes, checkpoints);
      await documents.write(writes, []);
      throw new DocumentsUnavailableError("stopped before the checkpoint");
    },
  };
  for (let round = 0; round < 3; round += 1) await expect(startProjector(log, failing).stopped).rejects.toThrow(DocumentsUnavailableError);
  startProjector(log, documents);
  await untilProjected(log, documents);
  await expectFolds(log, documents);
});

it("a projector that stops after some of the documents is continued by the next", async () => {
  const [log, documents] = [await written(), await openDocuments()];
  let writesLeft = 3;
  const failing: Documents = {
    ...documents,
    async write(writes, checkpoints) {
      if (writes.length === 0 && checkpoints.length > 0) return documents.write(writes, checkpoints);
      writesLeft -= 1;
      await documents.write(writes.slice(0, writes.length / 2 + writesLeft), []);
      throw new DocumentsUnavailableError("stopped half way");
    },
  };
  for (let round = 0; round < 3; round += 1) await expect(startProjector(log, failing).stopped).rejects.toThrow(DocumentsUnavailableError);
  startProjector(log, documents);
  await untilProjected(log, documents);
  await expectFolds(log, documents);
});

it("a gap in the events stops the projector before anything of the batch is applied", async () => {
  const [log, documents] = [await written(4, 3), await openDocuments()];
  await expect(startProjector(without(log, 2), documents).stopped).rejects.toThrow(GapError);
  for (const view of orders.views) expect((await stored(view, documents)).size).toBe(0);
  startProjector(log, documents);
  await untilProjected(log, documents);
  await expectFolds(log, documents);
});

it("views of another log are refused", async () => {
  const [log, documents] = [await written(1, 1), await openDocuments()];
  await documents.prepare(orders.views.map(({ collection }) => collection));
  const name = orders.views[0]?.collection.name ?? "";
  await documents.write([], [{ collection: name, partition: 0, logId: "another", nextOffset: 3, sequence: 3, eventTimeMs: 0 }]);
  await expect(startProjector(log, documents).stopped).rejects.toThrow("another log");
});

it("a caller who waits for the views reads what he wrote", async () => {
  const [log, documents] = [await openOrderLog(), await openDocuments()];
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

async function projectOnce(log: Log, documents: Documents): Promise<void> {
  const projector = startProjector(log, documents);
  await untilProjected(log, documents);
  await projector[Symbol.asyncDispose]();
}

function inAnotherGroup(log: Log): Log {
  return { ...log, consume: (options) => log.consume({ ...options, group: `${options.group}-other` }) };
}

/** The log as it would be if an event of each partition were missing. */
function without(log: Log, offset: number): Log {
  return {
    ...log,
    async consume(options) {
      const consumer = await log.consume(options);
      return {
        ...consumer,
        async poll(limits) {
          const poll = await consumer.poll(limits);
          return { ...poll, records: poll.records.filter((record) => record.offset !== offset) };
        },
      };
    },
  };
}
