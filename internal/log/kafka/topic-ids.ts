/**
 * Asks for the ids of topics (Metadata version 10, KIP-516). A broker gives every topic a random id when it is
 * created; kafkajs speaks an older version, which knows names only.
 */

import { createCluster, createErrorFromCode, type Decoder, DecoderClass, EncoderClass, type KafkaConfig } from "./kafkajs.ts";

const METADATA = 3;
const VERSION = 10;

const NO_TAGS = 0;
const ID_BYTES = 16;

/** What a broker older than Kafka 2.8 would answer, and one that does not know the topic. */
const NO_ID = Buffer.alloc(ID_BYTES).toString("base64url");

/**
 * The ids of topics, by name, each as Kafka's own tools print it.
 *
 * @throws {Error} as kafkajs throws: no broker answers, or one refuses this client or a topic
 */
export async function fetchTopicIds(config: KafkaConfig, topics: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const cluster = createCluster(config);
  try {
    await cluster.connect();
    await cluster.addMultipleTargetTopics(topics);
    const broker = await cluster.findControllerBroker();
    const ids = (await broker.connectionPool.send({
      request: { apiKey: METADATA, apiVersion: VERSION, apiName: "Metadata", encode: () => Promise.resolve(encodeRequest(topics)) },
      response: {
        decode: (bytes: Buffer) => Promise.resolve(bytes),
        parse: (bytes: Buffer) => Promise.resolve(decodeResponse(bytes)),
      },
      // It resolves with what `parse` returns.
    })) as ReadonlyMap<string, string>;
    const nameless = topics.find((topic) => (ids.get(topic) ?? NO_ID) === NO_ID);
    if (nameless !== undefined) throw new Error(`the brokers give the topic ${nameless} no id; Kafka 2.8 or newer is needed`);
    return ids;
  } finally {
    await cluster.disconnect();
  }
}

function encodeRequest(topics: readonly string[]): object {
  const wanted = topics.map((topic) => new EncoderClass().writeInt64("0").writeInt64("0").writeUVarIntString(topic).writeInt8(NO_TAGS));
  // The last three: create no topics, and tell of no permissions, neither of the cluster nor of the topics.
  return new EncoderClass().writeInt8(NO_TAGS).writeUVarIntArray(wanted).writeInt8(0).writeInt8(0).writeInt8(0).writeInt8(NO_TAGS);
}

function decodeResponse(bytes: Buffer): ReadonlyMap<string, string> {
  const decoder = new DecoderClass(bytes);
  decoder.readTaggedFields();
  // The time for which this client shall be quiet.
  decoder.readInt32();
  decoder.readUVarIntArray(skipBroker);
  // The id of the cluster, and its controller.
  decoder.readUVarIntString();
  decoder.readInt32();
  return new Map(decoder.readUVarIntArray(readTopic));
}

function skipBroker(decoder: Decoder): void {
  decoder.readInt32();
  decoder.readUVarIntString();
  decoder.readInt32();
  decoder.readUVarIntString();
  decoder.readTaggedFields();
}

function readTopic(decoder: Decoder): readonly [string, string] {
  const code = decoder.readInt16();
  if (code !== 0) throw createErrorFromCode(code);
  const name = decoder.readUVarIntString();
  const id = decoder.readBytes(ID_BYTES).toString("base64url");
  // Whether Kafka made it for itself, then its partitions and what this client may do with it.
  decoder.readInt8();
  decoder.readUVarIntArray(skipPartition);
  decoder.readInt32();
  decoder.readTaggedFields();
  return [name, id];
}

function skipPartition(decoder: Decoder): void {
  decoder.readInt16();
  for (let field = 0; field < 3; field += 1) decoder.readInt32();
  for (let replicas = 0; replicas < 3; replicas += 1) decoder.readUVarIntArray((each) => each.readInt32());
  decoder.readTaggedFields();
}
