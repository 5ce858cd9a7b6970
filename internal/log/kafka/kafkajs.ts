/**
 * kafkajs 2.2.4 as this adapter needs it: changes to its insides, each for something that was reproduced. How it encodes records is changed in
 * `kafkajs-encoding.ts`, and how it reads what a broker refuses in `kafkajs-answers.ts`; everything else of kafkajs is used as it is.
 *
 * - A request queue polls every millisecond although nothing waits (some percent of a core per idle client).
 * - A connection that has gone silent is kept for as long as TCP keeps it, a quarter of an hour; every request times out on it.
 * - A batch for several brokers, of which one fails, is sent again to the others while their requests are under way: a transaction has it twice.
 * - Offsets in a transaction carry no generation (KIP-447), so a former owner of a partition could commit beside the new one.
 * - The generation of a member is not told to anybody.
 * - A member that its group has forgotten, and that fails to join again at once, goes on as if it were one, without heartbeats.
 * - A member whose coordinator hangs asks that one again and again, although another has taken its place.
 * - A transactional producer asks for its coordinators before each of four steps of every transaction: a third of its time.
 */

import type { Socket } from "node:net";
import type * as KafkaJs from "kafkajs";
import type { KafkaConfig, Logger } from "kafkajs";
import { replaceAnswers } from "./kafkajs-answers.ts";
import { replaceEncoding } from "./kafkajs-encoding.ts";
import { insideOf, replace } from "./kafkajs-module.ts";

replaceAnswers();
replaceEncoding();

const THROTTLE_CHECK_MS = 10;
const API_VERSIONS = 18;
const TXN_OFFSET_COMMIT = 28;

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
export interface Encoder {
  writeInt8(value: number): Encoder;
  writeInt16(value: number): Encoder;
  writeInt32(value: number): Encoder;
  writeInt64(value: string): Encoder;
  writeUVarIntString(value: string | null): Encoder;
  writeUVarIntArray(values: readonly Encoder[]): Encoder;
}
export interface Decoder {
  readInt8(): number;
  readBytes(length: number): Buffer;
  readInt16(): number;
  readInt32(): number;
  readTaggedFields(): unknown;
  readUVarIntString(): string;
  readUVarIntArray<Item>(read: (decoder: Decoder) => Item): readonly Item[];
}

export const EncoderClass = insideOf("src/protocol/encoder") as new () => Encoder;
export const DecoderClass = insideOf("src/protocol/decoder") as new (bytes: Buffer) => Decoder;
export const { createErrorFromCode, failure } = insideOf("src/protocol/error") as {
  createErrorFromCode(code: number): Error;
  failure(code: number): boolean;
};
const BrokerClass = insideOf("src/broker") as { readonly prototype: Broker };
const RequestQueue = insideOf("src/network/requestQueue") as { readonly prototype: RequestQueueInsides };

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

interface Connection {
  readonly host: string;
  readonly port: number;
  readonly socket: Socket | undefined;
  isConnected(): boolean;
  send(exchange: { readonly request: { readonly apiKey: number } }): Promise<unknown>;
  rejectRequests(error: Error): void;
  disconnect(): Promise<unknown>;
}

const ConnectionClass = insideOf("src/network/connection") as { readonly prototype: Connection };
type ErrorClass = new (message: string, at: object) => Error;
const errors = insideOf("src/errors") as Readonly<Record<"KafkaJSConnectionError" | "KafkaJSConnectionClosedError", ErrorClass>>;

const send = ConnectionClass.prototype.send;
ConnectionClass.prototype.send = async function (this: Connection, exchange) {
  const { host, port, socket } = this;
  try {
    return await send.call(this, exchange);
  } catch (error) {
    if (!(error instanceof Error) || error.name !== "KafkaJSRequestTimeoutError") throw error;
    // To kafkajs the one is a broker that cannot be reached, and it tries another; the other is one that went away, which it forgets.
    const closed =
      exchange.request.apiKey === API_VERSIONS
        ? new errors.KafkaJSConnectionError(error.message, { broker: `${host}:${port}` })
        : new errors.KafkaJSConnectionClosedError(error.message, { host, port });
    if (this.socket === socket && this.isConnected()) {
      this.rejectRequests(closed);
      await this.disconnect();
      socket?.destroy();
    }
    throw closed;
  }
};

const syncGroup = BrokerClass.prototype.syncGroup;
BrokerClass.prototype.syncGroup = async function (this: Broker, options) {
  const answer = await syncGroup.call(this, options);
  generations.set(options.memberId, options.generationId);
  const userData = AssignerProtocol.MemberAssignment.decode(answer.memberAssignment)?.userData;
  if (userData !== undefined && replacedFlag.equals(userData)) replaced.add(options.memberId);
  return answer;
};

interface GroupMember {
  readonly memberId: string | null;
  readonly sessionTimeout: number;
  /** When the coordinator last answered a heartbeat. */
  readonly lastRequest: number;
  heartbeat(options: object): Promise<unknown>;
}

const UNKNOWN_MEMBER_ID = 25;
const REBALANCE_IN_PROGRESS = 27;

/**
 * What a coordinator would answer makes kafkajs join again: who has no id was to join, and has failed; who has had no answer for the length of
 * a session needs another coordinator, and it looks for one only when it joins.
 */
const { prototype: groupMember } = insideOf("src/consumer/consumerGroup") as { readonly prototype: GroupMember };
const { heartbeat } = groupMember;
groupMember.heartbeat = async function (this: GroupMember, options) {
  if (this.memberId === null) throw createErrorFromCode(UNKNOWN_MEMBER_ID);
  try {
    return await heartbeat.call(this, options);
  } catch (error) {
    const isAnswer = error instanceof Error && "type" in error;
    throw isAnswer || Date.now() - this.lastRequest < this.sessionTimeout ? error : createErrorFromCode(REBALANCE_IN_PROGRESS);
  }
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

interface Coordinator {
  readonly groupId: string;
  readonly coordinatorType?: number;
}

interface CoordinatorFinder {
  findGroupCoordinatorMetadata(wanted: Coordinator): Promise<unknown>;
}

interface FoundCoordinator {
  readonly answer: Promise<unknown>;
  readonly untilMs: number;
}

const TRANSACTION_COORDINATOR = 1;

/** A coordinator that has moved refuses, and the producer that asked it is thrown away: a stale answer costs time, nothing else. */
const COORDINATOR_KNOWN_MS = 1_000;

const Finder = insideOf("src/cluster") as { readonly prototype: CoordinatorFinder };
const coordinators = new WeakMap<CoordinatorFinder, Map<string, FoundCoordinator>>();
const findCoordinator = Finder.prototype.findGroupCoordinatorMetadata;
Finder.prototype.findGroupCoordinatorMetadata = function (this: CoordinatorFinder, wanted) {
  // Only a transactional producer asks for that one; members of groups are left alone.
  if (wanted.coordinatorType === TRANSACTION_COORDINATOR && !coordinators.has(this)) coordinators.set(this, new Map());
  const known = coordinators.get(this);
  if (known === undefined) return findCoordinator.call(this, wanted);
  const key = `${wanted.coordinatorType ?? 0}/${wanted.groupId}`;
  const found = known.get(key);
  if (found !== undefined && found.untilMs > performance.now()) return found.answer;
  const answer = findCoordinator.call(this, wanted);
  known.set(key, { answer, untilMs: performance.now() + COORDINATOR_KNOWN_MS });
  answer.catch(() => known.delete(key));
  return answer;
};

/** The part of kafkajs's cluster that reading chosen partitions needs. */
export interface Cluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  addMultipleTargetTopics(topics: readonly string[]): Promise<void>;
  refreshMetadata(): Promise<void>;
  refreshMetadataIfNecessary(): Promise<void>;
  findLeaderForPartitions(topic: string, partitions: readonly number[]): Readonly<Record<string, readonly number[]>>;
  findBroker(options: { readonly nodeId: string }): Promise<FetchBroker>;
  findControllerBroker(): Promise<FetchBroker>;
}

export interface FetchBroker {
  readonly connectionPool: { send(exchange: object): Promise<unknown> };
  disconnect(): Promise<void>;
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

/** What a producer sends with, as far as it matters here. */
interface Sending {
  /** Of these two, each request to a broker calls the first before and the second behind it. */
  readonly eosManager: { acquireBrokerLock(broker: object): Promise<void>; releaseBrokerLock(broker: object): void };
  readonly retrier: <Result>(attempt: (...circumstances: readonly unknown[]) => Promise<Result>) => Promise<Result>;
}

/**
 * A batch goes to several brokers at once, and the attempt fails with the first request that fails. kafkajs then sends again what has no answer
 * yet, also what is merely under way, with new sequence numbers: the next attempt must wait for it.
 */
function withoutOverlap(sending: Sending): Sending {
  let underWay = 0;
  let ended = Promise.withResolvers<void>();
  const end = (): void => {
    underWay -= 1;
    ended.resolve();
    ended = Promise.withResolvers();
  };
  const eosManager = Object.assign(Object.create(sending.eosManager) as Sending["eosManager"], {
    async acquireBrokerLock(broker: object) {
      underWay += 1;
      await sending.eosManager.acquireBrokerLock(broker).catch((error: unknown) => {
        end();
        throw error;
      });
    },
    releaseBrokerLock(broker: object) {
      sending.eosManager.releaseBrokerLock(broker);
      end();
    },
  });
  const untilEnded = async (): Promise<void> => {
    while (underWay > 0) await ended.promise;
  };
  const retrier: Sending["retrier"] = (attempt) =>
    sending.retrier(async (...circumstances) => {
      try {
        return await attempt(...circumstances);
      } finally {
        await untilEnded();
      }
    });
  return { ...sending, eosManager, retrier };
}

replace("src/producer/sendMessages", (create: (sending: Sending) => unknown) => (sending: Sending) => create(withoutOverlap(sending)));

export const { Kafka, AssignerProtocol, ConfigResourceTypes } = insideOf("index.js") as typeof KafkaJs;

const SILENT = 0;
const ClusterClass = insideOf("src/cluster") as new (options: object) => Cluster;
const { createLogger } = insideOf("src/loggers") as { readonly createLogger: (options: object) => Logger };
/** How kafkajs connects, unless it is told otherwise. */
export const socketFactory = insideOf("src/network/socketFactory") as () => KafkaJs.ISocketFactory;

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
