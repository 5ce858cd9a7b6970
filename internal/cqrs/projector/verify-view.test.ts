/** Verification finds each way in which a document can differ from its events, whether it looks at all documents at once or in many passes. */

import { expect, it, onTestFinished } from "vitest";
import {
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
import { openEmbeddedDocuments } from "../../documents/embedded/open.ts";
import { CommandStage } from "../../gen/headwater/cqrs/v1/command_pb.ts";
import type { DocumentWrite, StoredDocument } from "../documents.ts";
import type { Projection } from "../projection.ts";
import { type VerifyOptions, verifyView } from "./verify-view.ts";

const [view] = orders.views as [Projection];
const ids = Array.from({ length: 12 }, (_, number) => `order-${number}`);
const { name: collection } = view.collection;

async function projected() {
  const log = await openOrderLog();
  const documents = await openEmbeddedDocuments({ inMemory: true });
  onTestFinished(() => documents[Symbol.asyncDispose]());
  startHandler(log);
  await using _projector = startProjector(log, documents);
  const gateway = await openGateway(log);
  for (const id of ids) {
    await submit(gateway, submission(id, createOrder));
    await submit(gateway, submission(id, placeOrder), CommandStage.PROJECTED);
  }
  const source = { log, documents, events: orders.events, topics: orders.topics, signal: AbortSignal.timeout(30_000) };
  return {
    documents,
    verify: (options: Pick<VerifyOptions, "all" | "maxDocuments" | "maxBytes">) => verifyView({ ...source, view, ...options }),
    async spoil(id: string, change: (document: StoredDocument) => Partial<DocumentWrite>) {
      const [document] = await documents.load(collection, [id]);
      if (document === undefined) throw new Error(`there is no ${id}`);
      const { applied, fields, revision: expectedRevision } = document;
      const write = { collection, id, expectedRevision, applied, fields, ...change(document) };
      expect(await documents.write([write], [])).toEqual([]);
    },
  };
}

it.each([
  ["at once", { all: false }, 1],
  ["in passes", { all: true, maxDocuments: 3 }, 4],
  ["in passes of few bytes", { all: true, maxBytes: 2_000 }, 3],
])("a changed field and a document that no event belongs to are found, %s", async (_, how, atLeastPasses) => {
  const { verify, spoil } = await projected();
  const before = await verify(how);
  expect(before).toMatchObject({ documents: 12, mismatches: [] });
  expect(before.passes).toBeGreaterThanOrEqual(atLeastPasses);
  await spoil("order-3", ({ fields }) => ({ fields: { ...fields, version: 7 } }));
  await spoil("order-4", () => ({ id: "stranger", expectedRevision: 0 }));
  const { mismatches } = await verify(how);
  expect(mismatches.toSorted((a, b) => (a.id < b.id ? -1 : 1))).toEqual([
    { id: "order-3", problem: "it differs from its events in version" },
    { id: "stranger", problem: "no event belongs to it" },
  ]);
});

it("a sample does not say of documents outside it that no event belongs to them", async () => {
  const { verify } = await projected();
  const { documents, mismatches } = await verify({ all: false, maxDocuments: 3 });
  expect(documents).toBeLessThan(12);
  expect(mismatches).toEqual([]);
});

it("a document that is missing is found", async () => {
  const { documents, verify } = await projected();
  const checkpoints = await documents.checkpoints(collection);
  const kept = await documents.load(collection, ids.slice(1));
  await documents.drop([collection]);
  await documents.prepare([view.collection]);
  const writes = kept.flatMap((document) =>
    document === undefined
      ? []
      : [{ collection, id: document.id, expectedRevision: 0, applied: document.applied, fields: document.fields }],
  );
  expect(await documents.write(writes, checkpoints)).toEqual([]);
  expect((await verify({ all: true })).mismatches).toEqual([{ id: "order-0", problem: "it is missing" }]);
});
