import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { type DocumentReader, FIND_BYTES, type Find, type Page, SortKeyError } from "../documents.ts";
import type { View } from "../projection.ts";
import { formatPageToken, listHash, notAPageToken, type PageRequest, parsePageToken } from "./page-token.ts";

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
  /** What of each document is answered, if not all: it is left over as the documents are read, so that a page has more of them. */
  readonly masked?: (document: MessageShape<DocumentDesc>) => MessageShape<DocumentDesc>;
}

/** A page of parts of large documents is read in so many pieces at most, and then ends early. */
const MAX_READS = 8;

/** Whoever has so many bytes of parts reads no further piece, which may be four times as large. */
const ENOUGH_BYTES = FIND_BYTES / 4;

/** One page of a list, and the token of the next; empty if it is the last. */
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
  { view, schema, request, pageSizes, where, sort, masked }: List<DocumentDesc, RequestDesc>,
): Promise<FoundPage<MessageShape<DocumentDesc>>> {
  const list = listHash(schema, request);
  let after = parsePageToken(request.pageToken, list);
  const limit = Math.min(request.pageSize > 0 ? request.pageSize : pageSizes.default, pageSizes.maximum);
  const items: MessageShape<DocumentDesc>[] = [];
  let bytes = 0;
  for (let reads = 1; ; reads += 1) {
    const query = { collection: view.collection.name, where, sort, limit: limit - items.length };
    const page = await find(documents, after === undefined ? query : { ...query, after });
    const found = page.documents.map(({ fields }) => (masked === undefined ? view.decode(fields) : masked(view.decode(fields))));
    items.push(...found);
    after = page.next;
    if (masked === undefined || after === undefined || items.length === limit || reads === MAX_READS) break;
    for (const item of found) bytes += toBinary(view.document, item).length;
    if (bytes > ENOUGH_BYTES) break;
  }
  return { items, nextPageToken: formatPageToken(list, after) };
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
