/**
 * One transactional producer, one transaction at a time. After any error the producer is thrown away and a new one with the same name is
 * initialised, which ends whatever the former one had open: nothing is retried and nothing is patched up.
 */

import type { Producer } from "kafkajs";
import { FencedError, LogRefusedError, LogUnavailableError, type NewRecord } from "../../cqrs/log.ts";
import { inTermsOfThePort, meaningOf, typeOf, unavailable } from "./errors.ts";
import { fenceOffsets, Kafka, type KafkaConfig } from "./kafkajs.ts";
import type { Assignment } from "./membership.ts";
import { chosenPartition, type Placed, sendInOrder } from "./produce.ts";
import type { Place } from "./refusals.ts";

/** A transaction of a process that died blocks its readers until then. A live one takes milliseconds. */
const TRANSACTION_TIMEOUT_MS = 10_000;

/** kafkajs restarts a partition's sequence at 0 where it should wrap at 2^31: a new producer long before that. */
const MAX_RECORDS_PER_PRODUCER = 1_000_000_000;

/**
 * What a coordinator answers to a commit that it refuses before it has written anything: a younger producer of this name has ended the
 * transaction, or is ending it, or its time was up. The last answer could also mean that a commit is under way, but kafkajs sends one only
 * once. Every other error may follow a commit. That holds for UNKNOWN too, although it mostly means that the commit met a younger producer's
 * fence half way, and wrote nothing: a coordinator says the same of whatever else goes wrong inside it.
 */
const refusals: ReadonlySet<string> = new Set(["INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED", "CONCURRENT_TRANSACTIONS"]);

export interface Transaction {
  readonly records: readonly NewRecord[];
  readonly group: string;
  readonly topic: string;
  readonly consumed: ReadonlyMap<number, number>;
  readonly assignment: Assignment;
  /** Told where the records lie before anything is committed; to throw gives the transaction up. */
  readonly check?: (placed: readonly Placed[]) => void;
}

export class Transactor {
  readonly id: string;
  readonly #config: KafkaConfig;
  readonly #maxRecords: number;
  #producer: Producer | undefined;
  #sent = 0;

  /** Takes a new producer when one has sent more than `maxRecords`. */
  constructor(config: KafkaConfig, id: string, maxRecords = MAX_RECORDS_PER_PRODUCER) {
    this.#config = config;
    this.id = id;
    this.#maxRecords = maxRecords;
  }

  /**
   * Ends every transaction that any producer of this name has open, and fences that producer.
   *
   * @throws {LogUnavailableError}
   */
  async initialise(): Promise<void> {
    if (this.#producer !== undefined) return;
    const producer = await initialised(this.#config, this.id);
    this.#producer = producer;
    this.#sent = 0;
  }

  /**
   * All sends first, the fenced offsets last, then the commit: what precedes the offsets precedes the next generation.
   *
   * @throws {FencedError} nothing was written, and another attempt may succeed
   * @throws {LogRefusedError} nothing was written, and nothing of it ever will be
   * @throws {LogUnavailableError} the commit was not answered: nobody knows what was written
   */
  async run({ records, group, topic, consumed, assignment, check }: Transaction): Promise<readonly Placed[]> {
    await this.initialise();
    const producer = this.#producer;
    if (producer === undefined) throw new LogUnavailableError("the transactional producer is closed");
    let committing = false;
    let place: Place = { transactionalId: this.id };
    try {
      fenceOffsets(this.id, assignment);
      const transaction = await producer.transaction();
      const placed = await sendInOrder(transaction, records);
      check?.(placed);
      const partitions = [...consumed].map(([partition, offset]) => ({ partition, offset: String(offset) }));
      place = { ...place, group, topic };
      await transaction.sendOffsets({ consumerGroupId: group, topics: [{ topic, partitions }] });
      committing = true;
      await transaction.commit();
      this.#sent += records.length;
      if (this.#sent > this.#maxRecords) await this.discard();
      return placed;
    } catch (error) {
      await this.discard();
      const known = committing ? ofCommit(error, place) : beforeCommit(error, place);
      // Nobody may come to try again: what is open would hold readers back until its time is over.
      if (known instanceof LogRefusedError) await this.initialise().catch(() => undefined);
      throw known;
    }
  }

  async discard(): Promise<void> {
    const producer = this.#producer;
    this.#producer = undefined;
    await producer?.disconnect().catch(() => undefined);
  }
}

/** Without its commit, nothing of a transaction is ever read: whoever initialises the next producer ends it. */
function beforeCommit(error: unknown, place: Place): unknown {
  if (error instanceof LogRefusedError) return error;
  const known = inTermsOfThePort(error, place);
  // Our own word, or what kafkajs cannot have said: a fault of this program.
  const isOurs = error instanceof FencedError || error instanceof LogUnavailableError;
  if (known instanceof LogRefusedError || (known === error && !isOurs)) return known;
  return givenUp(error);
}

function ofCommit(error: unknown, place: Place): unknown {
  if (refusals.has(typeOf(error) ?? "")) return givenUp(error);
  return meaningOf(error) === "refused" ? inTermsOfThePort(error, place) : unavailable(error);
}

function givenUp(error: unknown): FencedError {
  const reason = typeOf(error) ?? (error instanceof Error ? error.message : String(error));
  return new FencedError(`the transaction was given up: ${reason}`, { cause: error });
}

/** Ends the open transaction of a producer that seems to be dead. Should it be alive, it is fenced, and starts over: slower, never wrong. */
export async function endTransactionOf(config: KafkaConfig, transactionalId: string): Promise<void> {
  const producer = await initialised(config, transactionalId);
  await producer.disconnect();
}

async function initialised(config: KafkaConfig, transactionalId: string): Promise<Producer> {
  const producer = new Kafka(config).producer({
    transactionalId,
    idempotent: true,
    maxInFlightRequests: 1,
    transactionTimeout: TRANSACTION_TIMEOUT_MS,
    allowAutoTopicCreation: false,
    createPartitioner: chosenPartition,
    ...(config.retry === undefined ? {} : { retry: config.retry }),
  });
  try {
    await producer.connect();
    // kafkajs initialises a transactional producer with its first transaction.
    const transaction = await producer.transaction();
    await transaction.abort();
    return producer;
  } catch (error) {
    await producer.disconnect().catch(() => undefined);
    throw inTermsOfThePort(error, { transactionalId });
  }
}
