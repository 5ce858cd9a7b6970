import { describeParking } from "../../cqrs/testing/parking-suite.ts";
import { describeProjector, type ViewsUnderTest } from "../../cqrs/testing/projector-suite.ts";
import { openEmbeddedDocuments } from "./open.ts";

describeProjector("views in embedded documents", openViews);
describeParking("keys parked in embedded documents", openViews);

async function openViews(): Promise<ViewsUnderTest> {
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
}
