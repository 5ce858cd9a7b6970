import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { DocumentReader } from "../documents.ts";
import type { View } from "../projection.ts";

/** A view's document by id; undefined if there is none. */
export async function loadDocument<Desc extends DescMessage>(
  documents: DocumentReader,
  view: View<Desc>,
  id: string,
): Promise<MessageShape<Desc> | undefined> {
  const [document] = await documents.load(view.collection.name, [id]);
  return document && view.decode(document.fields);
}
