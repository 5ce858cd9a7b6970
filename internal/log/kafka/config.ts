import type { KafkaConfig } from "./kafkajs.ts";

/** How to reach a Kafka cluster. */
export interface KafkaConnection {
  /** host:port of one broker or more. */
  readonly brokers: readonly string[];
  /** Names this process in the brokers' logs and quotas. */
  readonly clientId: string;
  readonly ssl?: KafkaConfig["ssl"];
  readonly sasl?: KafkaConfig["sasl"];
}

/**
 * Retries are short and many: kafkajs's own (300 ms and growing) would make every second transaction wait for the first. Together they last
 * about four seconds, enough for an election.
 */
const retry = { initialRetryTime: 2, multiplier: 1.2, factor: 0, maxRetryTime: 20, retries: 200 } as const;

const REQUEST_TIMEOUT_MS = 10_000;
const CONNECTION_TIMEOUT_MS = 3_000;

export function kafkaConfig({ brokers, clientId, ssl, sasl }: KafkaConnection): KafkaConfig {
  return {
    brokers: [...brokers],
    clientId,
    retry,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    logLevel: 0,
    ...(ssl === undefined ? {} : { ssl }),
    ...(sasl === undefined ? {} : { sasl }),
  };
}
