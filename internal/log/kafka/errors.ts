/** What kafkajs throws, in the port's terms. */

import { LogUnavailableError } from "../../cqrs/log.ts";

/** What a broker or a certificate says that waiting does not change. */
const refusals = /AUTHENTICATION_FAILED|AUTHORIZATION_FAILED|ILLEGAL_SASL_STATE|UNSUPPORTED_SASL_MECHANISM/;
const certificateProblem = /certificate|\bCERT_|altname|handshake|wrong version number/i;

/** The one thing that kafkajs says of a broker without an error of its own. */
const NOT_CONNECTED = "Broker not connected";

export function unavailable(error: unknown): LogUnavailableError {
  return new LogUnavailableError(`Kafka does not answer: ${messageOf(error)}`);
}

/** The name of a broker's error code. */
export function typeOf(error: unknown): string | undefined {
  return error instanceof Error && "type" in error && typeof error.type === "string" ? error.type : undefined;
}

/**
 * Runs calls of kafkajs.
 *
 * @throws {LogUnavailableError} the cluster does not answer, which passes
 * @throws {Error} it refuses this client, which somebody has to do something about
 */
export async function reaching<Result>(run: () => Promise<Result>): Promise<Result> {
  try {
    return await run();
  } catch (error) {
    throw inTermsOfThePort(error);
  }
}

function inTermsOfThePort(error: unknown): unknown {
  if (!(error instanceof Error) || !(error.name.startsWith("KafkaJS") || error.message === NOT_CONNECTED)) return error;
  const chain = [...causesOf(error)];
  const refused = chain.find((cause) => refusals.test(typeOf(cause) ?? "") || cause.name === "KafkaJSSASLAuthenticationError");
  if (refused !== undefined)
    return new Error(`Kafka refuses this client: ${refused.message}; check its user, password and ACLs`, { cause: error });
  const untrusted = chain.find((cause) => certificateProblem.test(cause.message));
  if (untrusted !== undefined)
    return new Error(`no TLS with Kafka: ${readable(untrusted.message)}; check the TLS options and certificates`, { cause: error });
  return unavailable(error);
}

function* causesOf(error: Error): Generator<Error> {
  const { cause, originalError, errors = [] } = error as Error & { readonly originalError?: unknown; readonly errors?: readonly unknown[] };
  yield error;
  for (const inner of [cause, originalError, ...errors]) if (inner instanceof Error) yield* causesOf(inner);
}

/** OpenSSL's messages are a line of fields, of which one is for people. */
function readable(message: string): string {
  return /:SSL routines:[^:]*:(?<reason>[^:]+):/.exec(message)?.groups?.["reason"] ?? message;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
