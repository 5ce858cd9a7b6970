import { expect, it, onTestFinished } from "vitest";
import { orders } from "../../../test/support/order-runtime.ts";
import { openEmbeddedDocuments } from "../../documents/embedded/open.ts";
import type { Projection } from "../projection.ts";
import { createDocumentCache, TooManyBytesError } from "./document-cache.ts";

it("documents are kept until they have too many bytes, and those written last stay", async () => {
  const [view] = orders.views as [Projection];
  const documents = await openEmbeddedDocuments({ inMemory: true });
  onTestFinished(() => documents[Symbol.asyncDispose]());
  await documents.prepare([view.collection]);
  const loaded: string[] = [];
  const counting = {
    ...documents,
    load(collection: string, ids: readonly string[]) {
      loaded.push(...ids);
      return documents.load(collection, ids);
    },
  };
  const cache = createDocumentCache(counting, { maxBytes: 2_500 });
  const ids = ["first", "second", "third"];
  const write = (id: string) =>
    cache.write([{ view, id, document: {}, applied: {}, fields: { orderId: id }, bytes: 1_000, revision: 0 }], []);
  for (const id of ids) await write(id);
  await cache.load(ids.map((id) => ({ view, id })));
  expect(loaded).toEqual(["first"]);
});

it("documents that are too large together are not loaded", async () => {
  const [view] = orders.views as [Projection];
  const documents = await openEmbeddedDocuments({ inMemory: true });
  onTestFinished(() => documents[Symbol.asyncDispose]());
  await documents.prepare([view.collection]);
  const places = ["a", "b", "c", "d"].map((id) => ({ view, id }));
  const { name: collection } = view.collection;
  const fields = { text: "x".repeat(1_000_000) };
  await documents.write(
    places.map(({ id }) => ({ collection, id, expectedRevision: 0, applied: {}, fields })),
    [],
  );
  const cache = createDocumentCache({ ...documents, load: (name, ids) => documents.load(name, ids, 2_500_000) });
  await expect(cache.load(places, 0)).rejects.toThrow(TooManyBytesError);
  expect(await cache.load(places, 1)).toHaveLength(4);
  expect(await cache.load(places)).toHaveLength(4);
});
