/** Entries of parked keys as they are stored: the fields of a message of the contract, readable by people. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  ParkedAction,
  ParkedKeySchema,
  type ParkedRequestSchema,
  ParkedState,
  ParkedStateSchema,
  type ParkedRequest as StoredRequest,
  ParkedScope as StoredScope,
} from "../../gen/headwater/cqrs/v1/view_pb.ts";
import { documentCodec } from "../document-codec.ts";
import type { DocumentWrite, StoredDocument } from "../documents.ts";
import { timestampToMs } from "../time.ts";
import type { ParkedKey, ParkedRequest, ParkedScope } from "./parking.ts";
import { checkSchemaVersion, nameOf } from "./stored-values.ts";

/** Where the entries lie. Its name is state. */
export const PARKED = "parked";

const SCHEMA_VERSION = 1;

const codec = documentCodec(ParkedKeySchema);

const scopes = {
  document: StoredScope.DOCUMENT,
  aggregate: StoredScope.AGGREGATE,
  record: StoredScope.RECORD,
} satisfies Record<ParkedScope, StoredScope>;

const states = {
  parked: ParkedState.PARKED,
  retried: ParkedState.RETRIED,
  skipped: ParkedState.SKIPPED,
  dropped: ParkedState.DROPPED,
} satisfies Record<ParkedKey["state"], ParkedState>;

const actions = { retry: ParkedAction.RETRY, skip: ParkedAction.SKIP } satisfies Record<ParkedRequest["action"], ParkedAction>;

/** A state as the field of a document has it, for conditions. */
export function storedState(state: ParkedKey["state"]): string {
  return ParkedStateSchema.value[states[state]]?.localName ?? "";
}

/** The write of an entry; it then has the next revision. */
export function parkedWrite(entry: ParkedKey): DocumentWrite {
  const { id, revision, event, scope, state, parkedAtMs, queuedTo, skipped, request, answers, ...rest } = entry;
  const { sequence, offset, aggregateId, recordedAtMs } = event;
  const message = create(ParkedKeySchema, {
    schemaVersion: SCHEMA_VERSION,
    ...rest,
    scope: scopes[scope],
    state: states[state],
    event: { sequence: BigInt(sequence), offset: BigInt(offset), aggregateId, appendedAt: timestampFromMs(recordedAtMs) },
    parkedAt: timestampFromMs(parkedAtMs),
    queuedTo: BigInt(queuedTo),
    skipped: skipped.map(BigInt),
    ...(request && { request: storedRequest(request) }),
    answers: answers.map((answer) => ({ request: storedRequest(answer), sequence: BigInt(answer.sequence), error: answer.error })),
  });
  return { collection: PARKED, id, expectedRevision: revision, applied: {}, fields: codec.encode(message) };
}

/**
 * The entry in a document.
 *
 * @throws {Error} a newer version of this program wrote it, or it is no entry
 */
export function parkedFromStored({ id, revision, fields }: StoredDocument): ParkedKey {
  const { schemaVersion, event, request, ...stored } = codec.decode(fields);
  checkSchemaVersion(schemaVersion, SCHEMA_VERSION, `the parked key ${id}`);
  const { collection, view, stream, partition, key, error, depth } = stored;
  return {
    id,
    revision,
    collection,
    view,
    stream,
    partition,
    scope: nameOf(scopes, stored.scope),
    key,
    state: nameOf(states, stored.state),
    event: {
      sequence: Number(event?.sequence ?? 0n),
      offset: Number(event?.offset ?? 0n),
      aggregateId: event?.aggregateId ?? "",
      recordedAtMs: msOf(event?.appendedAt),
    },
    error,
    parkedAtMs: msOf(stored.parkedAt),
    depth,
    queuedTo: Number(stored.queuedTo),
    skipped: stored.skipped.map(Number),
    ...(request && { request: requestOf(request) }),
    answers: stored.answers.flatMap((answer) =>
      answer.request === undefined ? [] : [{ ...requestOf(answer.request), sequence: Number(answer.sequence), error: answer.error }],
    ),
  };
}

function storedRequest({ action, reason, by, atMs }: ParkedRequest): MessageInitShape<typeof ParkedRequestSchema> {
  return { action: actions[action], reason, requestedBy: by, requestedAt: timestampFromMs(atMs) };
}

function requestOf({ action, reason, requestedBy, requestedAt }: StoredRequest): ParkedRequest {
  return { action: nameOf(actions, action), reason, by: requestedBy, atMs: msOf(requestedAt) };
}

function msOf(timestamp: Timestamp | undefined): number {
  return timestamp === undefined ? 0 : timestampToMs(timestamp);
}
