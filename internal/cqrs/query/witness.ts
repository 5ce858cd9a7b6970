import type { DocumentReader, StoredDocument } from "../documents.ts";
import { mergePositions, noPositions, type Positions, positionsOf } from "../positions.ts";

/** Documents that note the positions of what they show, so that a token can promise not to show less later (P4). */
export interface Witness extends DocumentReader {
  /** The latest position, per stream and partition, of all documents shown so far. */
  readonly seen: Positions;
}

/** Wraps the documents of one request. */
export function createWitness(documents: DocumentReader): Witness {
  let seen = noPositions;
  const note = (document: StoredDocument | undefined): void => {
    if (document !== undefined) seen = mergePositions(seen, positionsOf(document.applied));
  };
  return {
    get seen() {
      return seen;
    },
    async load(...args) {
      const documentsFound = await documents.load(...args);
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
