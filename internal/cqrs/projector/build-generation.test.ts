/** A view is built anew beside the one that is read, and takes its place only when it shows no less and is what its events make of it. */

import { expect, it, onTestFinished } from "vitest";
import {
  changeQuantity,
  createOrder,
  openGateway,
  openOrderLog,
  orderIn,
  orders,
  partitions,
  startHandler,
  startProjector,
  submission,
  submit,
} from "../../../test/support/order-runtime.ts";
import { openEmbeddedDocuments } from "../../documents/embedded/open.ts";
import { CommandStage } from "../../gen/headwater/cqrs/v1/command_pb.ts";
import type { CommandGateway } from "../command/command-gateway.ts";
import type { Documents } from "../documents.ts";
import type { Log } from "../log.ts";
import type { Projection } from "../projection.ts";
import { type Freshness, startFreshness } from "../query/freshness.ts";
import { cancelBuild, dropPrevious, resumeBuild, rollBack, startBuild, stopBuild } from "./generation-changes.ts";
import { inGeneration, openCatalogue, type ViewGenerations } from "./generations.ts";
import { verifyView } from "./verify-view.ts";

const [view] = orders.views as [Projection];
const others = orders.views.slice(1);
const { name: live } = view.collection;
const order = { version: view.version, pace: 100, nowMs: 1 };

interface System {
  readonly log: Log;
  readonly documents: Documents;
  readonly gateway: CommandGateway;
  readonly freshness: Freshness;
  readonly entry: () => Promise<ViewGenerations>;
  readonly change: (change: (entry: ViewGenerations) => ViewGenerations) => Promise<ViewGenerations>;
}

async function started(views = orders.views): Promise<System> {
  const log = await openOrderLog();
  const documents = await openEmbeddedDocuments({ inMemory: true });
  onTestFinished(() => documents[Symbol.asyncDispose]());
  startHandler(log);
  const freshness = await startFreshness({ documents, views });
  onTestFinished(() => freshness[Symbol.asyncDispose]());
  const catalogue = openCatalogue(documents);
  return {
    log,
    documents,
    freshness,
    gateway: await openGateway(log),
    entry: async () => (await catalogue.load([view]))[0] as ViewGenerations,
    change: (change) => catalogue.change(view, change),
  };
}

/** Changes orders in all partitions, so often, and waits until all views show it. */
async function write({ gateway }: System, changes: number, names = 6): Promise<void> {
  await Promise.all(
    Array.from({ length: names }, async (_, index) => {
      const id = orderIn(index % partitions, `order-${index}`);
      await submit(gateway, submission(id, createOrder));
      for (let count = 0; count < changes; count += 1)
        await submit(gateway, submission(id, changeQuantity(3 + count)), CommandStage.PROJECTED);
    }),
  );
}

/** The same without waiting for anybody. */
async function writeUnseen({ gateway }: System, changes: number): Promise<void> {
  const id = orderIn(0, "unseen");
  await submit(gateway, submission(id, createOrder));
  for (let count = 0; count < changes; count += 1) await submit(gateway, submission(id, changeQuantity(3 + count)));
}

async function mismatches({ log, documents, freshness }: System, of = view): Promise<readonly object[]> {
  const generation = inGeneration(of, { collection: freshness.collection(of), version: of.version });
  const source = { log, documents, events: orders.events, topics: orders.topics, signal: AbortSignal.timeout(30_000) };
  const found = await verifyView({ ...source, view: generation, all: true });
  expect(found.documents).toBeGreaterThan(0);
  return found.mismatches;
}

const deadline = { timeout: 30_000, interval: 10 };

it("a rebuild takes the live generation's place while commands and reads go on, and no read goes back", async () => {
  const system = await started();
  startProjector(system.log, system.documents);
  await write(system, 5);
  const writing = write(system, 60);
  let reading = true;
  const reads = (async () => {
    const seen = new Map<string, number>();
    while (reading) {
      const found = await system.freshness.documents.load(view.collection.name, [orderIn(0, "order-0"), orderIn(1, "order-1")]);
      for (const document of found) {
        const version = Number(document?.fields["version"] ?? 0);
        expect(version).toBeGreaterThanOrEqual(seen.get(document?.id ?? "") ?? 1);
        seen.set(document?.id ?? "", version);
      }
    }
  })();
  await system.change((entry) => startBuild(entry, order));
  await expect.poll(async () => (await system.entry()).live.collection, deadline).toBe(`${live}.b1`);
  await writing;
  reading = false;
  await reads;
  await expect.poll(() => system.freshness.collection(view), deadline).toBe(`${live}.b1`);
  expect(await mismatches(system)).toEqual([]);
  expect(await system.entry()).toMatchObject({ previous: { collection: live } });
});

it("the generation before is kept up to date, to be gone back to, and one after the other is given up", async () => {
  const system = await started();
  startProjector(system.log, system.documents);
  await write(system, 3);
  await system.change((entry) => startBuild(entry, order));
  await expect.poll(() => system.freshness.collection(view), deadline).toBe(`${live}.b1`);
  await write(system, 3);
  await system.change((entry) => rollBack(entry, view.version));
  await expect.poll(() => system.freshness.collection(view), deadline).toBe(live);
  expect(await mismatches(system)).toEqual([]);
  await write(system, 2);
  await system.change(dropPrevious);
  await expect.poll(() => system.documents.checkpoints(`${live}.b1`), deadline).toEqual([]);
  await expect.poll(async () => (await system.entry()).abandoned, deadline).toEqual([]);
  expect(await mismatches(system)).toEqual([]);
});

it("a build that is stopped goes on where it was, and one that is given up leaves nothing behind", async () => {
  const system = await started();
  startProjector(system.log, system.documents);
  await write(system, 3);
  // So slow that it does not come to an end.
  await system.change((entry) => startBuild(entry, { ...order, pace: 0.01 }));
  await expect.poll(() => system.documents.checkpoints(`${live}.b1`), deadline).not.toEqual([]);
  await system.change(stopBuild);
  await system.change((entry) => resumeBuild(entry, 100));
  await expect.poll(() => system.freshness.collection(view), deadline).toBe(`${live}.b1`);
  await system.change((entry) => startBuild(entry, { ...order, pace: 0.01 }));
  await expect.poll(() => system.documents.checkpoints(`${live}.b2`), deadline).not.toEqual([]);
  await system.change(cancelBuild);
  await expect.poll(() => system.documents.checkpoints(`${live}.b2`), deadline).toEqual([]);
  await write(system, 2);
  expect(await mismatches(system)).toEqual([]);
});

it("newer code builds its own generation by itself while older code goes on, and then takes over", async () => {
  const newer: Projection = {
    ...view,
    version: view.version + 1,
    collection: { ...view.collection, name: "orders.next" },
    ...withNote(view),
  };
  const system = await started([newer, ...others]);
  const old = startProjector(system.log, system.documents, "old");
  await write(system, 4);
  expect(system.freshness.collection(newer)).toBe(live);
  startProjector(system.log, system.documents, "new", { views: [newer, ...others] });
  await write(system, 4);
  await expect.poll(() => system.freshness.collection(newer), deadline).toBe(`orders.v${newer.version}.b1`);
  const [document] = await system.freshness.documents.load(newer.collection.name, [orderIn(0, "order-0")]);
  expect(document?.fields["note"]).toBe("of version 2");
  await old[Symbol.asyncDispose]();
  await write(system, 3);
  expect(await mismatches(system, newer)).toEqual([]);
});

it("a view that comes late is built without holding up the others, and says until then that it is not there yet", async () => {
  const system = await started();
  const first = startProjector(system.log, system.documents, "projector", { views: others });
  await writeUnseen(system, 4);
  await expect.poll(() => system.freshness.positions(others[0] as Projection).size, deadline).toBeGreaterThan(0);
  await first[Symbol.asyncDispose]();
  startProjector(system.log, system.documents);
  await expect.poll(() => system.freshness.collection(view), deadline).toBe(`${live}.b1`);
  expect(await mismatches(system)).toEqual([]);
  await write(system, 2);
  expect(await system.entry()).toMatchObject({ previous: { collection: "orders.v0", version: 0 } });
});

it("a build that is not what its events make of it is never read, and says where it differs", async () => {
  const system = await started();
  const spoiling: Documents = {
    ...system.documents,
    write: (writes, checkpoints) =>
      system.documents.write(
        writes.map((each) =>
          each.collection === `${live}.b1` && each.id === orderIn(0, "order-0")
            ? { ...each, fields: { ...each.fields, version: 99 } }
            : each,
        ),
        checkpoints,
      ),
  };
  startProjector(system.log, spoiling);
  await write(system, 3);
  await system.change((entry) => startBuild(entry, order));
  await expect.poll(async () => (await system.entry()).building?.state, deadline).toBe("failed");
  expect((await system.entry()).building?.note).toContain(`${orderIn(0, "order-0")}: it differs from its events in version`);
  expect(system.freshness.collection(view)).toBe(live);
});

it("a projector that ends in the middle of a build is continued by the next", async () => {
  const system = await started();
  const first = startProjector(system.log, system.documents);
  await write(system, 5);
  await system.change((entry) => startBuild(entry, { ...order, pace: 0.01 }));
  await expect.poll(() => system.documents.checkpoints(`${live}.b1`), deadline).not.toEqual([]);
  await first[Symbol.asyncDispose]();
  await system.change((entry) => resumeBuild(entry, 100));
  startProjector(system.log, system.documents, "second");
  await expect.poll(() => system.freshness.collection(view), deadline).toBe(`${live}.b1`);
  expect(await mismatches(system)).toEqual([]);
});

/** The same view, but for a field more. */
function withNote(of: Projection): Pick<Projection, "encode"> {
  return { encode: (document, applied) => ({ ...of.encode(document, applied), note: "of version 2" }) };
}
