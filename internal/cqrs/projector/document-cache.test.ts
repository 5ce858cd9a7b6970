import { expect, it, onTestFinished } from "vitest";
import { orders } from "../../../test/support/order-runtime.ts";
import { openEmbeddedDocuments } from "../../documents/embedded/open.ts";
import type { Projection } from "../projection.ts";
import { createDocumentCache } from "./document-cache.ts";

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
