import type { DocumentReader, StoredDocument } from "../documents.ts";
import { mergeSequences, type Sequences } from "./token.ts";

/** Documents that note the positions of what they show, so that a token can promise not to show less later (P4). */
export interface Witness extends DocumentReader {
  /** The latest position, per partition, of all documents shown so far. */
  readonly seen: Sequences;
}

/** Wraps the documents of one request. */
export function createWitness(documents: DocumentReader): Witness {
  let seen: Sequences = new Map();
  const note = (document: StoredDocument | undefined): void => {
    if (document === undefined) return;
    seen = mergeSequences(seen, new Map(Object.entries(document.applied).map(([partition, sequence]) => [Number(partition), sequence])));
  };
  return {
    get seen() {
      return seen;
    },
    async load(collection, ids) {
      const documentsFound = await documents.load(collection, ids);
      documentsFound.forEach(note);
      return documentsFound;
    },
    async find(query) {
      const page = await documents.find(query);
      page.documents.forEach(note);
      return page;
    },
  };
}
