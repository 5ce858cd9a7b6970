import { describeProjector } from "../../cqrs/testing/projector-suite.ts";
import { openEmbeddedDocuments } from "./open.ts";

describeProjector("views in embedded documents", async () => {
  let documents = await openEmbeddedDocuments({ inMemory: true });
  const close = () => documents[Symbol.asyncDispose]();
  return {
    get documents() {
      return documents;
    },
    async empty() {
      await close();
      documents = await openEmbeddedDocuments({ inMemory: true });
    },
    [Symbol.asyncDispose]: close,
  };
});
