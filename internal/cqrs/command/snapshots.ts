/** The aggregates that a command handler has at hand: loaded from the state topic, kept in bounded memory, forgotten with their partition. */

import type { Message } from "@bufbuild/protobuf";
import { type AggregateSnapshot, AggregateSnapshotSchema } from "../../gen/headwater/cqrs/v1/state_pb.ts";
import type { Aggregate } from "../aggregate.ts";
import { decodeKnown, UnknownFieldError } from "../decode.ts";
import type { DeployedDomain } from "../domain.ts";
import { encode } from "../encode.ts";
import type { NewRecord, Owner } from "../log.ts";
import { NewerStateError } from "../state-upcasting.ts";
import { Outcomes, pageKeysOf } from "./outcomes.ts";

/** What the snapshots that are kept may take in memory. */
const MAX_CACHED_BYTES = 128 * 1024 * 1024;

/** A decoded snapshot takes so many times the bytes of its record, at most: small orders do, large ones take half of it. */
const DECODED_FACTOR = 4;

/** An aggregate in memory. It changes only while a slice is decided; if the slice is not committed, all of them are thrown away. */
export interface Snapshot {
  readonly aggregateId: string;
  version: number;
  /** The partition sequence of its last event. */
  sequence: number;
  state: Message;
  readonly outcomes: Outcomes;
  /** The size of its record when it was last read or written. */
  bytes: number;
}

/** Loads and encodes the aggregates of the partitions that a handler owns. */
export interface Snapshots {
  /**
   * Loads aggregates of a partition, those without a record in their initial state. Those that have changed and are not committed yet are not
   * in the log: `uncommitted` has them, if they are not at hand.
   *
   * @throws {NewerStateError} newer code has written one of them
   * @throws {Error} a record cannot be read, or counts the events of another stream
   */
  load(
    owner: Owner,
    partition: number,
    ids: readonly string[],
    uncommitted: (id: string) => Snapshot | undefined,
  ): Promise<ReadonlyMap<string, Snapshot>>;
  /** The records of the state topic that a changed snapshot takes. The snapshot stays at hand with them. */
  records(partition: number, snapshot: Snapshot): readonly NewRecord[];
  /** Forgets a partition that was lost. */
  forget(partition: number): void;
}

interface Entry {
  readonly snapshot: Snapshot;
  readonly partition: number;
  readonly bytes: number;
}

/** Creates an empty cache for the aggregates of a domain, whose versions and sequences count a stream: the id of its events topic. */
export function createSnapshots(domain: Pick<DeployedDomain, "aggregate" | "states" | "topics">, stream: string): Snapshots {
  const { aggregate, states } = domain;
  const topic = domain.topics.state.name;
  /** By id, in the order of use: an id has one partition only. */
  const cache = new Map<string, Entry>();
  let cachedBytes = 0;

  return {
    async load(owner, partition, ids, uncommitted) {
      const loaded = new Map<string, Snapshot>();
      const missing: string[] = [];
      for (const id of ids) {
        const snapshot = cache.get(id)?.snapshot ?? uncommitted(id);
        if (snapshot === undefined) missing.push(id);
        else loaded.set(id, snapshot);
      }
      if (missing.length === 0) return loaded;
      const values = await owner.load(partition, missing);
      for (const [index, id] of missing.entries()) {
        const record = recordOf(id, values[index]);
        const keys = record === undefined ? [] : pageKeysOf(record);
        const pages = keys.length === 0 ? [] : await owner.load(partition, keys);
        loaded.set(id, record === undefined ? emptySnapshot(aggregate, id) : snapshotOf(record, pages, values[index]?.length ?? 0));
      }
      return loaded;
    },
    records(partition, snapshot) {
      const { outcomes } = snapshot;
      const record: AggregateSnapshot = {
        $typeName: AggregateSnapshotSchema.typeName,
        aggregateId: snapshot.aggregateId,
        version: snapshot.version,
        sequence: BigInt(snapshot.sequence),
        state: encode(aggregate.stateSchema, snapshot.state),
        schemaVersion: states.schemaVersion,
        stream,
        ...outcomes.range,
        outcomes: [],
      };
      const recent = { field: AggregateSnapshotSchema.field.outcomes, messages: outcomes.recent };
      const value = encode(AggregateSnapshotSchema, record, recent);
      snapshot.bytes = value.length;
      const bytes = value.length * DECODED_FACTOR + outcomes.pagedBytes;
      drop(snapshot.aggregateId);
      cache.set(snapshot.aggregateId, { snapshot, partition, bytes });
      cachedBytes += bytes;
      for (const id of cache.keys()) {
        if (cachedBytes <= MAX_CACHED_BYTES) break;
        drop(id);
      }
      const pages = outcomes.takeChanges().map((page) => ({ topic, partition, ...page }));
      return [{ topic, partition, key: snapshot.aggregateId, value }, ...pages];
    },
    forget(partition) {
      for (const [id, entry] of cache) if (entry.partition === partition) drop(id);
    },
  };

  function recordOf(aggregateId: string, value: Uint8Array | undefined): AggregateSnapshot | undefined {
    if (value === undefined) return undefined;
    const record = forNewer(aggregateId, () => decodeKnown(AggregateSnapshotSchema, value));
    if (record.stream === stream) return record;
    const counted = `the state of ${aggregateId} counts the events of another stream (${JSON.stringify(record.stream)})`;
    throw new Error(`${counted} than the events topic has (${JSON.stringify(stream)}): restore all topics of one moment, or none`);
  }

  function snapshotOf(record: AggregateSnapshot, pages: readonly (Uint8Array | undefined)[], bytes: number): Snapshot {
    const { aggregateId, version, sequence, firstPage } = record;
    const state = forNewer(aggregateId, () => states.read(record.state, record.schemaVersion));
    const present = pages.filter((page) => page !== undefined);
    if (present.length < pages.length) {
      throw new Error(`outcomes of ${aggregateId} are missing in the state topic: restore all topics of one moment, or none`);
    }
    const outcomes = new Outcomes(aggregateId, record.outcomes, firstPage, present);
    return { aggregateId, version, sequence: Number(sequence), state, outcomes, bytes };
  }

  function drop(id: string): void {
    cachedBytes -= cache.get(id)?.bytes ?? 0;
    cache.delete(id);
  }
}

/** What newer code has written is left to it. */
function forNewer<Value>(aggregateId: string, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof NewerStateError || error instanceof UnknownFieldError)) throw error;
    throw new NewerStateError(`the state of ${aggregateId} was written by a newer command handler: ${error.message}`, { cause: error });
  }
}

/** An aggregate that nothing was asked of yet. */
export function emptySnapshot(aggregate: Aggregate, aggregateId: string): Snapshot {
  return { aggregateId, version: 0, sequence: 0, state: aggregate.initial(), outcomes: new Outcomes(aggregateId), bytes: 0 };
}
