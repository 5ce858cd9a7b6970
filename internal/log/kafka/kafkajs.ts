/**
 * kafkajs 2.2.4 as this adapter needs it: three changes to its insides, each for a defect that was reproduced, in one place that refuses any
 * other version. Everything else of kafkajs is used as it is.
 *
 * - A request queue polls every millisecond although nothing waits (some percent of a core per idle client).
 * - Offsets in a transaction carry no generation (KIP-447), so a former owner of a partition could commit beside the new one.
 * - The generation of a member is not told to anybody.
 */

import { createRequire } from "node:module";
import type * as KafkaJs from "kafkajs";
import type { KafkaConfig, Logger } from "kafkajs";

const SUPPORTED_VERSION = "2.2.4";
const THROTTLE_CHECK_MS = 10;
const TXN_OFFSET_COMMIT = 28;

const require = createRequire(import.meta.url);
const { version } = require("kafkajs/package.json") as { readonly version: string };
if (version !== SUPPORTED_VERSION) {
  throw new Error(`kafkajs ${version} is installed, but this adapter knows the insides of ${SUPPORTED_VERSION} only: install that version`);
}

/** What a member was told of its group by the coordinator. */
export interface MemberGeneration {
  readonly memberId: string;
  readonly generation: number;
}

const generations = new Map<string, number>();
const replaced = new Set<string>();
const fences = new Map<string, MemberGeneration>();

/** The generation in which a member synchronised last. */
export function generationOf(memberId: string): number | undefined {
  return generations.get(memberId);
}

/** What the member that deals the partitions sends to one whose place another has taken. */
export const replacedFlag: Buffer = Buffer.from("replaced");

/** Whether the group's last assignment said that another member has taken this one's place. */
export function isReplaced(memberId: string): boolean {
  return replaced.has(memberId);
}

/** From now on, the offsets that a transactional producer commits are refused unless this is still the group's generation. */
export function fenceOffsets(transactionalId: string, member: MemberGeneration): void {
  fences.set(transactionalId, member);
}

interface Broker {
  syncGroup(options: { readonly memberId: string; readonly generationId: number }): Promise<{ readonly memberAssignment: Buffer }>;
  txnOffsetCommit(options: TxnOffsetCommit): Promise<unknown>;
  readonly connectionPool: { send(exchange: object): Promise<unknown> };
}

interface TxnOffsetCommit {
  readonly transactionalId: string;
  readonly groupId: string;
  readonly producerId: string;
  readonly producerEpoch: number;
  readonly topics: readonly {
    readonly topic: string;
    readonly partitions: readonly { readonly partition: number; readonly offset: string }[];
  }[];
}

/** What kafkajs's encoder and decoder offer for the flexible message formats. */
interface Encoder {
  writeInt8(value: number): Encoder;
  writeInt16(value: number): Encoder;
  writeInt32(value: number): Encoder;
  writeInt64(value: string): Encoder;
  writeUVarIntString(value: string | null): Encoder;
  writeUVarIntArray(values: readonly Encoder[]): Encoder;
}
interface Decoder {
  readInt16(): number;
  readInt32(): number;
  readTaggedFields(): unknown;
  readUVarIntString(): string;
  readUVarIntArray<Item>(read: (decoder: Decoder) => Item): readonly Item[];
}

const EncoderClass = require("kafkajs/src/protocol/encoder") as new () => Encoder;
const DecoderClass = require("kafkajs/src/protocol/decoder") as new (bytes: Buffer) => Decoder;
const { createErrorFromCode, failure } = require("kafkajs/src/protocol/error") as {
  createErrorFromCode(code: number): Error;
  failure(code: number): boolean;
};
const BrokerClass = require("kafkajs/src/broker") as { readonly prototype: Broker };
const RequestQueue = require("kafkajs/src/network/requestQueue") as { readonly prototype: RequestQueueInsides };

interface RequestQueueInsides {
  throttleCheckTimeoutId: unknown;
  readonly throttledUntil: number;
  readonly pending: readonly unknown[];
  checkPendingRequests(): void;
  scheduleCheckPendingRequests(): void;
}

RequestQueue.prototype.scheduleCheckPendingRequests = function (this: RequestQueueInsides) {
  if (this.throttleCheckTimeoutId || this.pending.length === 0) return;
  const delayMs = Math.max(THROTTLE_CHECK_MS, this.throttledUntil - Date.now());
  this.throttleCheckTimeoutId = setTimeout(() => {
    this.throttleCheckTimeoutId = null;
    this.checkPendingRequests();
  }, delayMs);
};

const syncGroup = BrokerClass.prototype.syncGroup;
BrokerClass.prototype.syncGroup = async function (this: Broker, options) {
  const answer = await syncGroup.call(this, options);
  generations.set(options.memberId, options.generationId);
  const userData = AssignerProtocol.MemberAssignment.decode(answer.memberAssignment)?.userData;
  if (userData !== undefined && replacedFlag.equals(userData)) replaced.add(options.memberId);
  return answer;
};

/** TxnOffsetCommit version 3, which carries the member and its generation. */
BrokerClass.prototype.txnOffsetCommit = function (this: Broker, options) {
  const member = fences.get(options.transactionalId);
  if (member === undefined) throw new Error(`the offsets of ${options.transactionalId} are not fenced by a generation`);
  const request = {
    apiKey: TXN_OFFSET_COMMIT,
    apiVersion: 3,
    apiName: "TxnOffsetCommit",
    encode: () => Promise.resolve(encodeTxnOffsetCommit(options, member)),
  };
  const response = {
    decode: (bytes: Buffer) => Promise.resolve(decodeTxnOffsetCommit(bytes)),
    parse(codes: readonly number[]) {
      const failed = codes.find(failure);
      return failed === undefined ? Promise.resolve(codes) : Promise.reject(createErrorFromCode(failed));
    },
  };
  return this.connectionPool.send({ request, response });
};

function encodeTxnOffsetCommit(options: TxnOffsetCommit, { memberId, generation }: MemberGeneration): Encoder {
  const noTags = 0;
  const partitionOf = ({ partition, offset }: { readonly partition: number; readonly offset: string }): Encoder =>
    new EncoderClass().writeInt32(partition).writeInt64(offset).writeInt32(-1).writeUVarIntString(null).writeInt8(noTags);
  return new EncoderClass()
    .writeInt8(noTags)
    .writeUVarIntString(options.transactionalId)
    .writeUVarIntString(options.groupId)
    .writeInt64(options.producerId)
    .writeInt16(options.producerEpoch)
    .writeInt32(generation)
    .writeUVarIntString(memberId)
    .writeUVarIntString(null)
    .writeUVarIntArray(
      options.topics.map(({ topic, partitions }) =>
        new EncoderClass().writeUVarIntString(topic).writeUVarIntArray(partitions.map(partitionOf)).writeInt8(noTags),
      ),
    )
    .writeInt8(noTags);
}

/** The error codes of all partitions. */
function decodeTxnOffsetCommit(bytes: Buffer): readonly number[] {
  const decoder = new DecoderClass(bytes);
  decoder.readTaggedFields();
  decoder.readInt32();
  const topics = decoder.readUVarIntArray((topic) => {
    topic.readUVarIntString();
    const codes = topic.readUVarIntArray((partition) => {
      partition.readInt32();
      const code = partition.readInt16();
      partition.readTaggedFields();
      return code;
    });
    topic.readTaggedFields();
    return codes;
  });
  return topics.flat();
}

/** The part of kafkajs's cluster that reading chosen partitions needs. */
export interface Cluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  addMultipleTargetTopics(topics: readonly string[]): Promise<void>;
  refreshMetadata(): Promise<void>;
  refreshMetadataIfNecessary(): Promise<void>;
  findLeaderForPartitions(topic: string, partitions: readonly number[]): Readonly<Record<string, readonly number[]>>;
  findBroker(options: { readonly nodeId: string }): Promise<FetchBroker>;
}

export interface FetchBroker {
  fetch(options: {
    readonly maxWaitTime: number;
    readonly minBytes: number;
    readonly maxBytes: number;
    readonly isolationLevel: number;
    readonly topics: readonly {
      readonly topic: string;
      readonly partitions: readonly { readonly partition: number; readonly fetchOffset: string; readonly maxBytes: number }[];
    }[];
  }): Promise<{ readonly responses: readonly { readonly topicName: string; readonly partitions: readonly FetchedPartition[] }[] }>;
  listOffsets(options: {
    readonly replicaId: number;
    readonly isolationLevel: number;
    readonly topics: readonly {
      readonly topic: string;
      readonly partitions: readonly { readonly partition: number; readonly timestamp: number }[];
    }[];
  }): Promise<{
    readonly responses: readonly { readonly partitions: readonly { readonly partition: number; readonly offset: string }[] }[];
  }>;
}

export interface FetchedPartition {
  readonly partition: number;
  readonly lastStableOffset: string;
  readonly abortedTransactions: readonly { readonly producerId: string; readonly firstOffset: string }[] | null;
  readonly messages: readonly FetchedMessage[];
}

export interface FetchedMessage {
  readonly offset: string;
  readonly timestamp: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, Buffer | undefined>>;
  readonly isControlRecord: boolean;
  readonly batchContext: { readonly producerId: string; readonly inTransaction: boolean };
}

export const { Kafka, AssignerProtocol, ConfigResourceTypes } = require("kafkajs") as typeof KafkaJs;

const SILENT = 0;
const ClusterClass = require("kafkajs/src/cluster") as new (options: object) => Cluster;
const createLogger = require("kafkajs/src/loggers").createLogger as (options: object) => Logger;
const socketFactory = require("kafkajs/src/network/socketFactory") as () => unknown;

/** A connection pool for reading, beside the ones that kafkajs makes: a long poll blocks its connection for everything else. */
export function createCluster(config: KafkaConfig): Cluster {
  return new ClusterClass({
    connectionTimeout: 1_000,
    requestTimeout: 30_000,
    enforceRequestTimeout: true,
    metadataMaxAge: 300_000,
    allowAutoTopicCreation: false,
    maxInFlightRequests: null,
    isolationLevel: 1,
    ...config,
    logger: createLogger({ level: config.logLevel ?? SILENT, logCreator: config.logCreator ?? (() => () => undefined) }),
    socketFactory: config.socketFactory ?? socketFactory(),
  });
}

export type { KafkaConfig };
