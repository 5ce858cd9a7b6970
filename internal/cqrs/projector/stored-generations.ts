/** The catalogue's entry of a view as it is stored: the fields of a message of the contract, readable by people. */

import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { BuildState as StoredState, type ViewBuild, ViewGenerationsSchema } from "../../gen/headwater/cqrs/v1/view_pb.ts";
import { documentCodec } from "../document-codec.ts";
import type { Fields } from "../documents.ts";
import { timestampToMs } from "../time.ts";
import type { Build, BuildState, ViewGenerations } from "./generations.ts";
import { checkSchemaVersion, nameOf } from "./stored-values.ts";

const SCHEMA_VERSION = 1;

const codec = documentCodec(ViewGenerationsSchema);

const states = {
  building: StoredState.BUILDING,
  verifying: StoredState.VERIFYING,
  stopped: StoredState.STOPPED,
  failed: StoredState.FAILED,
} satisfies Record<BuildState, StoredState>;

/** The fields of an entry. */
export function fieldsFromEntry({ view, streams, live, previous, building, abandoned, builds }: ViewGenerations): Fields {
  const message = create(ViewGenerationsSchema, {
    schemaVersion: SCHEMA_VERSION,
    view,
    streams: streams.map(({ id, topic, partitions }) => ({ stream: id, topic, partitions })),
    live: { ...live },
    ...(previous && { previous: { ...previous } }),
    ...(building && { building: { ...building, state: states[building.state], startedAt: timestampFromMs(building.startedAtMs) } }),
    abandoned: [...abandoned],
    builds,
  });
  return codec.encode(message);
}

/**
 * The entry in a document's fields.
 *
 * @throws {Error} a newer version of this program wrote it, or it is no entry
 */
export function entryFromFields(fields: Fields, revision: number): ViewGenerations {
  const { schemaVersion, view, streams, live, previous, building, abandoned, builds } = codec.decode(fields);
  checkSchemaVersion(schemaVersion, SCHEMA_VERSION, `the entry of ${view} in the catalogue of generations`);
  if (live === undefined) throw new TypeError(`the entry of ${view} in the catalogue of generations names no live generation`);
  return {
    view,
    revision,
    streams: streams.map(({ stream, topic, partitions }) => ({ id: stream, topic, partitions })),
    live: generationOf(live),
    ...(previous && { previous: generationOf(previous) }),
    ...(building && { building: buildOf(building) }),
    abandoned,
    builds,
  };
}

function generationOf({ collection, version }: { readonly collection: string; readonly version: number }) {
  return { collection, version };
}

function buildOf({ collection, version, state, pace, startedAt, note }: ViewBuild): Build {
  return {
    collection,
    version,
    state: nameOf(states, state),
    pace,
    startedAtMs: startedAt === undefined ? 0 : timestampToMs(startedAt),
    note,
  };
}
