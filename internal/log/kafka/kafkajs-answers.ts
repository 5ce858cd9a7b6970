/**
 * Replaces how kafkajs reads two answers, before it is loaded. It throws the first error code that it finds: without the topic, and with no
 * word of the partitions that have none or another. And it has no names for codes that are younger than itself.
 */

import { meaningOf } from "./errors.ts";
import { insideOf, replace } from "./kafkajs-module.ts";

interface ErrorCode {
  readonly code: number;
  readonly type: string;
  readonly message: string;
  readonly retriable: boolean;
}

const { createErrorFromCode, errorCodes, failure } = insideOf("src/protocol/error") as {
  createErrorFromCode(code: number): Error;
  readonly errorCodes: ErrorCode[];
  failure(code: number): boolean;
};

/** Those that a broker may answer to what this adapter asks. */
export const newerErrorCodes: readonly ErrorCode[] = [
  { code: 89, type: "THROTTLING_QUOTA_EXCEEDED", message: "A quota has been exceeded", retriable: true },
  { code: 90, type: "PRODUCER_FENCED", message: "A newer producer with the same transactional id fences this one", retriable: false },
  { code: 100, type: "UNKNOWN_TOPIC_ID", message: "This server knows no topic of this id", retriable: true },
  { code: 103, type: "INCONSISTENT_TOPIC_ID", message: "The log has another topic id than the request", retriable: true },
  { code: 110, type: "FENCED_MEMBER_EPOCH", message: "The coordinator knows a newer epoch of the member", retriable: false },
  { code: 113, type: "STALE_MEMBER_EPOCH", message: "The member has an older epoch than its group", retriable: false },
  { code: 120, type: "TRANSACTION_ABORTABLE", message: "The transaction has to be aborted", retriable: false },
];

interface Answer<Parsed> {
  decode(bytes: Buffer): Promise<Parsed>;
  parse(answer: Parsed): Promise<Parsed>;
}

interface Produced {
  readonly topics: readonly { readonly topicName: string; readonly partitions: readonly { readonly errorCode: number }[] }[];
}

interface Added {
  readonly errors: readonly { readonly topic: string; readonly partitionErrors: readonly { readonly errorCode: number }[] }[];
}

/** To be called before the rest of kafkajs is loaded. */
export function replaceAnswers(): void {
  errorCodes.push(...newerErrorCodes);
  replace("src/protocol/requests/produce/v3/response", (answer: Answer<Produced>) => ({ ...answer, parse: parseProduced }));
  replace("src/protocol/requests/addPartitionsToTxn/v0/response", (answer: Answer<Added>) => ({ ...answer, parse: parseAdded }));
}

/** What is refused for good is told by partition, to whoever sent it; what passes is thrown, so that it is tried again. */
async function parseProduced(answer: Produced): Promise<Produced> {
  const errors = answer.topics.flatMap(({ topicName, partitions }) => errorsOf(topicName, partitions));
  const [first] = errors;
  if (first !== undefined && !errors.some(isFinal)) throw first;
  return answer;
}

/** One partition that is refused keeps all others from being tried. */
async function parseAdded(answer: Added): Promise<Added> {
  const errors = answer.errors.flatMap(({ topic, partitionErrors }) => errorsOf(topic, partitionErrors));
  const telling = errors.find((error) => !("type" in error && error.type === "OPERATION_NOT_ATTEMPTED")) ?? errors[0];
  if (telling !== undefined) throw telling;
  return answer;
}

function errorsOf(topic: string, partitions: readonly { readonly errorCode: number }[]): readonly Error[] {
  return partitions
    .filter(({ errorCode }) => failure(errorCode))
    .map(({ errorCode }) => Object.assign(createErrorFromCode(errorCode), { topic }));
}

function isFinal(error: Error): boolean {
  const meaning = meaningOf(error);
  return meaning === "refused" || meaning === "fault";
}
