/**
 * An aggregate's state is written by one version of the code and read by later ones. The reader
 * brings a state of an older schema version to today's, version by version, before anything is
 * decided on it. See docs/decisions/snapshots-are-upcast.md.
 */

import { create, type DescMessage, type Message, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { decodeKnown, UnknownFieldError } from "./decode.ts";
import { UpcastError } from "./upcasting.ts";

/** Tells which fields of a state are others in the next schema version. Pure: it sees one state. */
export type StateUpcaster<StateDesc extends DescMessage> = (state: MessageShape<StateDesc>) => Partial<MessageInitShape<StateDesc>>;

/** The state of a domain's aggregates. */
export interface StateSchema<StateDesc extends DescMessage> {
  readonly state: StateDesc;
  /** The version that is written today, from 1. Raise it with every change of what is written, also with a new field. */
  readonly schemaVersion: number;
  /** By the schema version that each takes. A version that is left out changed nothing that a state has. */
  readonly upcasters: { readonly [version: number]: StateUpcaster<StateDesc> };
}

/** Reads states of all versions that were ever written. */
export interface StateReader<State extends Message = Message> {
  /** The version that is written today. */
  readonly schemaVersion: number;
  /**
   * @throws {NewerStateError} the state was written by newer code
   * @throws {UpcastError} an upcaster failed
   * @throws {Error} the bytes are no state
   */
  read(bytes: Uint8Array, version: number): State;
}

/** Newer code has written this state. To decide on it without what it says would be wrong: the command handler must be replaced first. */
export class NewerStateError extends Error {
  override readonly name = "NewerStateError";
}

/**
 * Makes the reader of a domain's states.
 *
 * @throws {TypeError} an upcaster can never be called: it takes a version that is not older than what is written
 */
export function createStateReader<StateDesc extends DescMessage>(schema: StateSchema<StateDesc>): StateReader<MessageShape<StateDesc>> {
  const { state: desc, schemaVersion, upcasters } = schema;
  for (const version of Object.keys(upcasters).map(Number)) {
    if (Number.isInteger(version) && version >= 1 && version < schemaVersion) continue;
    throw new TypeError(
      `${desc.typeName} has an upcaster from schema version ${version}, but ${schemaVersion} is written; raise schemaVersion`,
    );
  }

  function step(state: MessageShape<StateDesc>, version: number): MessageShape<StateDesc> {
    const upcaster = upcasters[version];
    if (upcaster === undefined) return state;
    try {
      // With its type's name it would be taken as it is, and what the upcaster tells in short would never become a message.
      const fields = { ...state, ...upcaster(state), $typeName: undefined } as unknown as MessageInitShape<StateDesc>;
      return create(desc, fields);
    } catch (cause) {
      const message = `a state could not be brought from schema version ${version} to ${version + 1}`;
      throw new UpcastError(`${message}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  }

  return {
    schemaVersion,
    read(bytes, version) {
      if (version > schemaVersion)
        throw new NewerStateError(`it has schema version ${version}, and this code knows none beyond ${schemaVersion}`);
      let state = readKnown(desc, bytes);
      for (let from = version; from < schemaVersion; from += 1) state = step(state, from);
      return state;
    },
  };
}

function readKnown<StateDesc extends DescMessage>(desc: StateDesc, bytes: Uint8Array): MessageShape<StateDesc> {
  try {
    return decodeKnown(desc, bytes);
  } catch (error) {
    if (error instanceof UnknownFieldError) throw new NewerStateError(error.message, { cause: error });
    throw error;
  }
}
