/** The aggregates that a command handler has at hand: loaded from the state topic, kept in bounded memory, forgotten with their partition. */

import type { Message } from "@bufbuild/protobuf";
import { type CommandOutcome, CommandOutcomeSchema } from "../../gen/headwater/cqrs/v1/command_pb.ts";
import { type AggregateSnapshot, AggregateSnapshotSchema } from "../../gen/headwater/cqrs/v1/state_pb.ts";
import { decodeKnown, UnknownFieldError } from "../decode.ts";
import type { Domain } from "../domain.ts";
import { encode, keep } from "../encode.ts";
import type { Owner } from "../log.ts";
import { NewerStateError } from "../state-upcasting.ts";

/**
 * How many outcomes an aggregate remembers. A retry that comes after so many later commands of its aggregate is decided anew, so this bounds
 * P2; it also bounds the state record. Orders have far fewer commands in all.
 */
const OUTCOMES_PER_AGGREGATE = 64;

/** What the decoded snapshots may weigh, by the size of their records; in memory they take a few times as much. */
const MAX_CACHED_BYTES = 32 * 1024 * 1024;

/** An outcome that an aggregate remembers: as bytes, since it is written often and hardly ever read. */
export interface RememberedOutcome {
  readonly commandId: string;
  readonly bytes: Uint8Array;
}

/** An aggregate in memory. It changes only while a slice is decided; if the slice is not committed, all of them are thrown away. */
export interface Snapshot {
  readonly aggregateId: string;
  version: number;
  /** The partition sequence of its last event. */
  sequence: number;
  state: Message;
  /** Oldest first. */
  readonly outcomes: RememberedOutcome[];
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
  /** The record of a snapshot; the snapshot stays at hand with it. */
  encode(partition: number, snapshot: Snapshot): Uint8Array;
  /** Forgets a partition that was lost. */
  forget(partition: number): void;
}

interface Entry {
  readonly snapshot: Snapshot;
  readonly partition: number;
  readonly bytes: number;
}

/** Creates an empty cache for the aggregates of a domain, whose versions and sequences count a stream: the id of its events topic. */
export function createSnapshots(domain: Pick<Domain, "aggregate" | "states">, stream: string): Snapshots {
  const { aggregate, states } = domain;
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
      missing.forEach((id, index) => loaded.set(id, snapshotOf(id, values[index])));
      return loaded;
    },
    encode(partition, snapshot) {
      const record: AggregateSnapshot = {
        $typeName: AggregateSnapshotSchema.typeName,
        aggregateId: snapshot.aggregateId,
        version: snapshot.version,
        sequence: BigInt(snapshot.sequence),
        state: encode(aggregate.stateSchema, snapshot.state),
        schemaVersion: states.schemaVersion,
        stream,
        outcomes: [],
      };
      const outcomes = { field: AggregateSnapshotSchema.field.outcomes, messages: snapshot.outcomes.map(({ bytes }) => bytes) };
      const value = encode(AggregateSnapshotSchema, record, outcomes);
      drop(snapshot.aggregateId);
      cache.set(snapshot.aggregateId, { snapshot, partition, bytes: value.length });
      cachedBytes += value.length;
      for (const id of cache.keys()) {
        if (cachedBytes <= MAX_CACHED_BYTES) break;
        drop(id);
      }
      return value;
    },
    forget(partition) {
      for (const [id, entry] of cache) if (entry.partition === partition) drop(id);
    },
  };

  function snapshotOf(aggregateId: string, value: Uint8Array | undefined): Snapshot {
    if (value === undefined) return { aggregateId, version: 0, sequence: 0, state: aggregate.initial(), outcomes: [] };
    const record = forNewer(aggregateId, () => decodeKnown(AggregateSnapshotSchema, value));
    if (record.stream !== stream) {
      const counted = `the state of ${aggregateId} counts the events of another stream (${JSON.stringify(record.stream)})`;
      throw new Error(`${counted} than the events topic has (${JSON.stringify(stream)}): restore all topics of one moment, or none`);
    }
    const outcomes: RememberedOutcome[] = [];
    for (const outcome of record.outcomes) remember({ outcomes }, outcome);
    const state = forNewer(aggregateId, () => states.read(record.state, record.schemaVersion));
    return { aggregateId, version: record.version, sequence: Number(record.sequence), state, outcomes };
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

/** Adds an outcome and drops the oldest past the bound. Returns it as it is remembered. */
export function remember({ outcomes }: Pick<Snapshot, "outcomes">, outcome: CommandOutcome): Uint8Array {
  const bytes = keep(encode(CommandOutcomeSchema, outcome));
  outcomes.push({ commandId: outcome.commandId, bytes });
  if (outcomes.length > OUTCOMES_PER_AGGREGATE) outcomes.shift();
  return bytes;
}
