/**
 * Bare kafkajs with the handler's job, but without its logic: it reads commands, and writes for each slice one transaction with as many
 * records of as many bytes as the handler writes, with the consumed offsets; the replies follow the commit. Its argument is a KafkajsRun as
 * JSON.
 */

import { Kafka, type KafkaMessage, logLevel, type Message } from "kafkajs";

export interface KafkajsRun {
  readonly brokers: readonly string[];
  readonly group: string;
  readonly topics: Readonly<Record<"commands" | "events" | "state" | "replies", string>>;
  /** The bytes of one record of each kind. */
  readonly bytes: Readonly<Record<"event" | "state" | "reply", number>>;
}

/** A slice of the handler. */
const SLICE_COMMANDS = 1_000;

/** By this header the sender of a command knows its reply. All replies have one key, and so one partition. */
const COMMAND_HEADER = "command";
const REPLY_KEY = "bench";

/** Without these, a transaction waits 300 ms for the one before it. */
const retry = { initialRetryTime: 2, multiplier: 1.2, factor: 0, maxRetryTime: 20, retries: 200 };

const { brokers, group, topics, bytes } = JSON.parse(process.argv[2] ?? "{}") as KafkajsRun;
const kafka = new Kafka({ brokers: [...brokers], clientId: group, logLevel: logLevel.NOTHING, retry });
const consumer = kafka.consumer({ groupId: group, maxWaitTimeInMs: 500, minBytes: 1 });
const transactional = kafka.producer({ transactionalId: group, idempotent: true, maxInFlightRequests: 1, retry });
const replier = kafka.producer({ maxInFlightRequests: 1 });
const event = Buffer.alloc(bytes.event, "e");
const state = Buffer.alloc(bytes.state, "s");
const reply = Buffer.alloc(bytes.reply, "r");

/** What a fetch brought of one partition, and how much of it has been written. */
interface Arrived {
  readonly partition: number;
  readonly messages: readonly KafkaMessage[];
  next: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** The messages of one partition that go into one transaction. */
interface Share {
  readonly partition: number;
  readonly messages: readonly KafkaMessage[];
}

let arrived: Arrived[] = [];
let writing = false;
let replying: Promise<unknown> = Promise.resolve();

await Promise.all([transactional.connect(), replier.connect(), consumer.connect()]);
await consumer.subscribe({ topic: topics.commands, fromBeginning: true });
await consumer.run({
  autoCommit: false,
  partitionsConsumedConcurrently: 1_024,
  eachBatch: ({ batch: { partition, messages } }) =>
    new Promise<void>((resolve, reject) => {
      arrived.push({ partition, messages, next: 0, resolve, reject });
      void writeAll();
    }),
});

process.once("SIGTERM", () => void consumer.disconnect().finally(() => process.exit()));

/** One transaction at a time; what comes meanwhile goes into the next. */
async function writeAll(): Promise<void> {
  if (writing) return;
  writing = true;
  // The other partitions of the same fetch come in the same turn.
  await new Promise((resolve) => setImmediate(resolve));
  while (arrived.length > 0) {
    const shares = nextSlice();
    try {
      await write(shares);
      const messages = shares.flatMap((share) => share.messages);
      replying = replying.then(() => replier.send({ topic: topics.replies, messages: messages.map(replyTo) })).catch(() => undefined);
    } catch (error) {
      for (const { reject } of arrived) reject(error);
      arrived = [];
    }
    for (const { resolve } of arrived.filter(isWritten)) resolve();
    arrived = arrived.filter((batch) => !isWritten(batch));
  }
  writing = false;
}

/** As many messages as a slice holds, of each partition its share. */
function nextSlice(): readonly Share[] {
  const share = Math.ceil(SLICE_COMMANDS / arrived.length);
  return arrived.map((batch) => {
    const messages = batch.messages.slice(batch.next, batch.next + share);
    batch.next += messages.length;
    return { partition: batch.partition, messages };
  });
}

async function write(shares: readonly Share[]): Promise<void> {
  const transaction = await transactional.transaction();
  const events = shares.flatMap(({ partition, messages }): Message[] => messages.map(({ key }) => ({ partition, key, value: event })));
  const states = shares.flatMap(({ partition, messages }): Message[] => {
    const keys = new Set([...messages.map(({ key }) => String(key)), "__position"]);
    return [...keys].map((key) => ({ partition, key, value: state }));
  });
  await transaction.sendBatch({
    acks: -1,
    topicMessages: [
      { topic: topics.events, messages: events },
      { topic: topics.state, messages: states },
    ],
  });
  const partitions = shares.map(({ partition, messages }) => ({
    partition,
    offset: String(BigInt(messages.at(-1)?.offset ?? "-1") + 1n),
  }));
  await transaction.sendOffsets({ consumerGroupId: group, topics: [{ topic: topics.commands, partitions }] });
  await transaction.commit();
}

function replyTo({ headers }: KafkaMessage): Message {
  const command = headers?.[COMMAND_HEADER];
  return { key: REPLY_KEY, value: reply, ...(command === undefined ? {} : { headers: { [COMMAND_HEADER]: command } }) };
}

function isWritten({ next, messages }: Arrived): boolean {
  return next >= messages.length;
}
