/** MongoDB, as the processes are configured to reach it. */

import { MongoParseError, MongoServerError } from "mongodb";
import { connectMongoDocuments, type MongoDocuments } from "../documents/mongo/connect.ts";
import { ConfigError, readOptionFile, type ValuesOf, variableOf } from "../platform/config.ts";
import type { mongoOptions } from "./options.ts";
import { type Attempts, openThroughOutages } from "./outages.ts";

const AUTHENTICATION_FAILED = 18;

/**
 * Connects to the documents, and waits for MongoDB while it is away; without attempts it does not wait.
 *
 * @throws {ConfigError} an address that cannot be used
 * @throws {DocumentsUnavailableError} it is away, and nobody waits
 */
export async function openMongo(config: ValuesOf<typeof mongoOptions>, attempts?: Attempts): Promise<MongoDocuments> {
  const path = config["mongo-uri-file"];
  const uri = path === "" ? config["mongo-uri"] : readOptionFile("mongo-uri-file", path, (content) => content.trim());
  try {
    const connect = () => connectMongoDocuments({ uri, database: databaseOf(config) });
    return await (attempts === undefined ? connect() : openThroughOutages(connect, attempts));
  } catch (error) {
    // The driver's text quotes no more than the part that it cannot read; the address itself may hold a password.
    if (error instanceof MongoParseError)
      throw new ConfigError(`--mongo-uri (${variableOf("mongo-uri")}): ${error.message}`, { cause: error });
    if (error instanceof MongoServerError && error.code === AUTHENTICATION_FAILED)
      throw new Error(`MongoDB refuses this client: ${error.message} Check the user, password and authSource in the address`, {
        cause: error,
      });
    throw error;
  }
}

/** Systems with different namespaces have different databases. */
function databaseOf({ namespace, "mongo-database": database }: ValuesOf<typeof mongoOptions>): string {
  return namespace === "" ? database : `${namespace}_${database}`;
}
