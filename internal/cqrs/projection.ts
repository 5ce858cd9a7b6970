/** A projection is a pure fold of events into documents: which documents an event belongs to, and what it makes of each (P6). */

import { create, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import type { EventMetadata } from "../gen/headwater/cqrs/v1/event_pb.ts";
import { documentCodec } from "./document-codec.ts";
import type { Applied, Collection, Fields, Index } from "./documents.ts";
import { type Member, type MemberOf, type Oneof, type UnionOf, unionOf } from "./oneof.ts";

/** What a fold may use beside the document and the facts. */
export interface FoldContext<Event> {
  /** The document's id: one of the keys that `key` gave. */
  readonly id: string;
  readonly event: Event;
  readonly metadata: EventMetadata;
}

/** A view: its key, its fold, and how it is stored. */
export interface ProjectionDefinition<EventDesc extends DescMessage, DocumentDesc extends DescMessage> {
  /** The view's name, for collections, checkpoints and callers that wait for it. It is state: renaming it builds a new view. */
  readonly name: string;
  /** Raise it whenever the fold or the document changes: documents of another version are not touched. */
  readonly version: number;
  readonly event: EventDesc;
  /** The message of the document. Its documents are stored as plain fields, see {@link documentCodec}. */
  readonly document: DocumentDesc;
  readonly indexes?: readonly Index[];
  /** Whether each document is made by one event and never changed: it is then written without being loaded. Default: false. */
  readonly writeOnce?: boolean;
  /** The ids of the documents that the event changes; undefined if none. */
  readonly key: (event: MessageShape<EventDesc>) => string | readonly string[] | undefined;
  /** One fold per event that matters, from the document (or an empty message) to the new document. */
  readonly on: {
    readonly [Case in Member<UnionOf<EventDesc>>["case"]]?: (
      document: MessageShape<DocumentDesc>,
      facts: MemberOf<UnionOf<EventDesc>, Case>["value"],
      context: FoldContext<MessageShape<EventDesc>>,
    ) => MessageShape<DocumentDesc>;
  };
  /** Applied after `on` for every event that changes the document, such as to note its version. */
  readonly always?: (document: MessageShape<DocumentDesc>, context: FoldContext<MessageShape<EventDesc>>) => MessageShape<DocumentDesc>;
  /** Fields to store beside the message's own, for filters that need them, such as search words. */
  readonly derived?: (document: MessageShape<DocumentDesc>, applied: Applied) => Fields;
}

/** A projection as the runtime uses it. */
export interface Projection {
  readonly name: string;
  readonly version: number;
  readonly collection: Collection;
  readonly writeOnce: boolean;
  keys(event: object): readonly string[];
  /** The fields after the event. `before` is undefined where there is no document yet. */
  fold(before: object | undefined, id: string, event: object): object;
  decode(fields: Fields): object;
  /** `applied`: the positions that the document is stored with. */
  encode(document: object, applied?: Applied): Fields;
}

/** A projection whose document type is known: what queries read. */
export interface View<DocumentDesc extends DescMessage> extends Projection {
  readonly document: DocumentDesc;
  fold(before: object | undefined, id: string, event: object): MessageShape<DocumentDesc>;
  decode(fields: Fields): MessageShape<DocumentDesc>;
}

/** Makes a view of its definition. */
export function projection<EventDesc extends DescMessage, DocumentDesc extends DescMessage>(
  definition: ProjectionDefinition<EventDesc, DocumentDesc>,
): View<DocumentDesc> {
  type Event = MessageShape<EventDesc>;
  type Document = MessageShape<DocumentDesc>;
  const union = unionOf(definition.event).localName;
  const codec = documentCodec(definition.document);
  const folds = definition.on as Readonly<Record<string, (document: Document, facts: unknown, context: FoldContext<Event>) => Document>>;
  const { always, derived } = definition;

  return {
    name: definition.name,
    version: definition.version,
    collection: { name: `${definition.name}.v${definition.version}`, indexes: definition.indexes ?? [] },
    document: definition.document,
    writeOnce: definition.writeOnce ?? false,
    keys(event) {
      const facts = (event as Readonly<Record<string, Oneof>>)[union];
      if (facts?.case === undefined) return [];
      if (always === undefined && folds[facts.case] === undefined) return [];
      const key = definition.key(event as Event);
      return key === undefined ? [] : typeof key === "string" ? [key] : key;
    },
    fold(before, id, event) {
      const facts = (event as Readonly<Record<string, Oneof>>)[union];
      const metadata = (event as { readonly metadata: EventMetadata }).metadata;
      const context = { id, event: event as Event, metadata };
      let document = (before ?? create(definition.document, {} as MessageInitShape<DocumentDesc>)) as Document;
      const on = facts?.case === undefined ? undefined : folds[facts.case];
      if (on !== undefined) document = on(document, facts?.value, context);
      return always === undefined ? document : always(document, context);
    },
    decode: (fields) => codec.decode(fields),
    encode: (document, applied = {}) => ({ ...codec.encode(document as Document), ...derived?.(document as Document, applied) }),
  };
}
