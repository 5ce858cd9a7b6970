import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { type DocumentReader, type Find, type Page, SortKeyError } from "../../cqrs/documents.ts";
import type { View } from "../../cqrs/projection.ts";
import { formatPageToken, listHash, notAPageToken, type PageRequest, parsePageToken } from "../../cqrs/query/page-token.ts";

/** A list's page sizes, as its request in the .proto promises them. */
export interface PageSizes {
  readonly default: number;
  readonly maximum: number;
}

/** A list: which view it shows, the request that asks for it, and what that means for the view's documents. */
export interface List<DocumentDesc extends DescMessage, RequestDesc extends DescMessage> extends Pick<Find, "where" | "sort"> {
  readonly view: View<DocumentDesc>;
  readonly schema: RequestDesc;
  readonly request: MessageShape<RequestDesc> & PageRequest;
  readonly pageSizes: PageSizes;
}

export interface FoundPage<Item> {
  readonly items: Item[];
  readonly nextPageToken: string;
}

/**
 * One page of a list.
 *
 * @throws {PageTokenError} the request's page token does not belong to this list
 */
export async function findPage<DocumentDesc extends DescMessage, RequestDesc extends DescMessage>(
  documents: DocumentReader,
  { view, schema, request, pageSizes, where, sort }: List<DocumentDesc, RequestDesc>,
): Promise<FoundPage<MessageShape<DocumentDesc>>> {
  const list = listHash(schema, request);
  const after = parsePageToken(request.pageToken, list);
  const limit = Math.min(request.pageSize > 0 ? request.pageSize : pageSizes.default, pageSizes.maximum);
  const page = await find(documents, { collection: view.collection.name, where, sort, limit, ...(after && { after }) });
  return { items: page.documents.map(({ fields }) => view.decode(fields)), nextPageToken: formatPageToken(list, page.next) };
}

/** A token that names the right list and a wrong start was not made by this service. */
async function find(documents: DocumentReader, query: Find): Promise<Page> {
  try {
    return await documents.find(query);
  } catch (error) {
    if (error instanceof SortKeyError) throw notAPageToken(error);
    throw error;
  }
}
