import { KafkaJSConnectionError, KafkaJSNonRetriableError, KafkaJSNumberOfRetriesExceeded, KafkaJSProtocolError } from "kafkajs";
import { expect, it } from "vitest";
import { LogUnavailableError } from "../../cqrs/log.ts";
import { reaching } from "./errors.ts";

const refused = new KafkaJSConnectionError("Connection error: connect ECONNREFUSED 127.0.0.1:9092");

for (const error of [
  refused,
  new KafkaJSNumberOfRetriesExceeded(refused, { retryCount: 3, retryTime: 100 }),
  new KafkaJSNonRetriableError(refused),
  new Error("Broker not connected"),
]) {
  it(`"${error.message}" (${error.name}) is an outage, which passes`, async () => {
    await expect(reaching(() => Promise.reject(error))).rejects.toThrow(LogUnavailableError);
  });
}

for (const [error, message] of [
  [protocolError("SASL_AUTHENTICATION_FAILED"), "check its user, password and ACLs"],
  [protocolError("TOPIC_AUTHORIZATION_FAILED"), "check its user, password and ACLs"],
  [new KafkaJSConnectionError("Connection error: self-signed certificate"), "check the TLS options and certificates"],
] as const) {
  it(`"${error.message}" (${message}) needs somebody to act, and says how`, async () => {
    const failed = reaching(() => Promise.reject(error));
    await expect(failed).rejects.toThrow(message);
    await expect(failed).rejects.not.toBeInstanceOf(LogUnavailableError);
  });
}

it("what is no word of Kafka's stays as it is", async () => {
  const error = new RangeError("no such partition");
  await expect(reaching(() => Promise.reject(error))).rejects.toBe(error);
});

function protocolError(type: string): Error {
  return new KafkaJSProtocolError(Object.assign(new Error("refused"), { type }));
}
