import { createRequire } from "node:module";
import {
  KafkaJSConnectionError,
  KafkaJSNonRetriableError,
  KafkaJSNumberOfRetriesExceeded,
  KafkaJSProtocolError,
  KafkaJSSASLAuthenticationError,
} from "kafkajs";
import { describe, expect, it } from "vitest";
import { LogRefusedError, LogUnavailableError, RecordsTooLargeError } from "../../cqrs/log.ts";
import { meaningOf, meaningsOfClasses, meaningsOfTypes, reaching } from "./errors.ts";
import { newerErrorCodes } from "./kafkajs-answers.ts";

const require = createRequire(import.meta.url);
// Its types do not have them: the codes of the brokers that it knows, and all of its classes.
const { errorCodes } = require("kafkajs/src/protocol/error") as { readonly errorCodes: readonly { readonly type: string }[] };
const { isRebalancing: _, isKafkaJSError: __, ...classes } = require("kafkajs/src/errors") as Readonly<Record<string, unknown>>;

const refused = new KafkaJSConnectionError("Connection error: connect ECONNREFUSED 127.0.0.1:9092");

describe("every error of kafkajs is sorted", () => {
  it("by the type of the broker's code", () => {
    const types = [...errorCodes, ...newerErrorCodes].map(({ type }) => type);
    expect(Object.keys(meaningsOfTypes).toSorted()).toEqual([...types, "KAFKAJS_UNKNOWN_ERROR_CODE"].toSorted());
    expect(new Set(types).size).toBe(types.length);
  });

  it("by its class", () => {
    expect(Object.keys(meaningsOfClasses).toSorted()).toEqual(Object.keys(classes).toSorted());
  });
});

describe.each(Object.entries(meaningsOfTypes))("what a broker says by %s", (type, meaning) => {
  const said = protocolError(type);

  it(`is ${meaning}, also behind retries`, () => {
    const thrice = new KafkaJSNumberOfRetriesExceeded(said, { retryCount: 3, retryTime: 100 });
    const errors = [said, notRetriable(said), notRetriable(thrice)];
    expect(errors.map(meaningOf)).toEqual([meaning, meaning, meaning]);
  });

  it(`passes: ${meaning === "away" || meaning === "conflict"}`, async () => {
    const error: unknown = await reaching(() => Promise.reject(said)).catch((reason: unknown) => reason);
    expect(error instanceof LogUnavailableError).toBe(meaning === "away" || meaning === "conflict");
    expect(error instanceof LogRefusedError).toBe(meaning === "refused" || meaning === "fault");
    expect(error instanceof RecordsTooLargeError).toBe(type === "MESSAGE_TOO_LARGE" || type === "RECORD_LIST_TOO_LARGE");
  });
});

for (const error of [
  refused,
  new KafkaJSNumberOfRetriesExceeded(refused, { retryCount: 3, retryTime: 100 }),
  notRetriable(refused),
  new Error("Broker not connected"),
  systemError("write", "EPIPE"),
  ...[
    "Closed connection",
    "Connection timeout",
    "Connection error: read ECONNRESET",
    "Request SaslAuthenticate(key: 36, version: 0) timed out",
  ].map((cut): Error => Reflect.construct(KafkaJSSASLAuthenticationError, [`SASL PLAIN authentication failed: ${cut}`])),
]) {
  it(`"${error.message}" (${error.name}) is an outage, which passes`, async () => {
    await expect(reaching(() => Promise.reject(error))).rejects.toThrow(LogUnavailableError);
  });
}

for (const [error, message] of [
  [protocolError("SASL_AUTHENTICATION_FAILED"), "check its user, password and ACLs"],
  // Without a code: kafkajs keeps the message alone, which its types do not take.
  [Reflect.construct(KafkaJSSASLAuthenticationError, ["SASL PLAIN authentication failed: wrong"]), "check its user, password and ACLs"],
  [protocolError("TOPIC_AUTHORIZATION_FAILED"), "check its user, password and ACLs"],
  [new KafkaJSConnectionError("Connection error: self-signed certificate"), "check the TLS options and certificates"],
  [protocolError("POLICY_VIOLATION"), "refuses what it is asked for"],
] as const) {
  it(`"${error.message}" (${message}) needs somebody to act, and says how`, async () => {
    const failed = reaching(() => Promise.reject(error));
    await expect(failed).rejects.toThrow(message);
    await expect(failed).rejects.not.toBeInstanceOf(LogUnavailableError);
  });
}

it("a fault in the code is one, also where kafkajs tried again", () => {
  const fault = new Error("undefined is not a function");
  expect(meaningOf(new KafkaJSNumberOfRetriesExceeded(fault, { retryCount: 3, retryTime: 100 }))).toBe("fault");
});

it("what is no word of Kafka's stays as it is", async () => {
  for (const error of [new RangeError("no such partition"), systemError("open", "ENOENT")]) {
    await expect(reaching(() => Promise.reject(error))).rejects.toBe(error);
  }
});

function protocolError(type: string): Error {
  return new KafkaJSProtocolError(Object.assign(new Error("the broker says no"), { type }));
}

/** As retries make one. */
function notRetriable(cause: Error): Error {
  return Object.assign(new KafkaJSNonRetriableError(cause), { cause });
}

function systemError(syscall: string, code: string): Error {
  return Object.assign(new Error(`${syscall} ${code}`), { syscall, code });
}
