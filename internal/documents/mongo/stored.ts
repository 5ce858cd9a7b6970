/** A document as MongoDB has it: the id and the fields at the top level, for people and BI tools, beside what guards its writes. */

import type { Applied, DocumentValue, DocumentWrite, Fields, StoredDocument } from "../../cqrs/documents.ts";

/** Names that are state: who renames one can no longer read what is there. Fields begin with a letter, so none is called like these. */
export interface Stored {
  readonly _id: string;
  readonly _revision: number;
  readonly _applied: Applied;
  readonly [field: string]: unknown;
}

export function storedFromWrite({ id, expectedRevision, applied, fields }: DocumentWrite): Stored {
  return { _id: id, _revision: expectedRevision + 1, _applied: applied, ...fields };
}

export function documentFromStored({ _id: id, _revision: revision, _applied: applied, ...fields }: Stored): StoredDocument {
  return { id, revision, applied, fields: fields as Fields };
}

const FIELD_PATH = /^[A-Za-z]\w*(\.\w+)*$/;

/** The path of a field, which must not be an operator. @throws {TypeError} it is no path */
export function checkedPath(path: string): string {
  if (!FIELD_PATH.test(path)) throw new TypeError(`${JSON.stringify(path)} is not the path of a field`);
  return path;
}

export function valueAt(fields: Fields, path: string): DocumentValue | undefined {
  let value: DocumentValue | undefined = fields;
  for (const name of path.split(".")) value = (value as Fields | undefined)?.[name];
  return value;
}
