/**
 * The real servers of the tests. Where one is missing, its tests are skipped locally, `describe.skipIf(kafka === undefined)`, and fail with
 * CI=true.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";

const cache = join(import.meta.dirname, "..", "..", ".cache");

/** Where a server comes from: one that runs already, at an address, or a program that a test starts, and may kill. */
export type ServerSource = { readonly kind: "running"; readonly address: string } | { readonly kind: "program"; readonly path: string };

/** The brokers in KAFKA_BROKERS, or the jars that `npm run servers` fetches. */
export const kafka = findKafka();

/** The server at MONGODB_URI, or the program in MONGOD_BINARY, or the one that `npm run servers` fetches. */
export const mongo = findMongo();

export function findKafka(environment: Readonly<NodeJS.ProcessEnv> = process.env, folder = cache): ServerSource | undefined {
  const brokers = environment["KAFKA_BROKERS"];
  if (brokers !== undefined) return { kind: "running", address: brokers };
  return program("Kafka", join(folder, "kafka"), environment);
}

export function findMongo(environment: Readonly<NodeJS.ProcessEnv> = process.env, folder = cache): ServerSource | undefined {
  const uri = environment["MONGODB_URI"];
  if (uri !== undefined) return { kind: "running", address: uri };
  return program("mongod", environment["MONGOD_BINARY"] ?? join(folder, "mongod", "fiftyone", "db", "bin", "mongod"), environment);
}

function program(title: string, path: string, environment: Readonly<NodeJS.ProcessEnv>): ServerSource | undefined {
  if (existsSync(path)) return { kind: "program", path };
  if (environment["CI"] === "true") throw new Error(`${title} is missing: npm run servers fetches it`);
  return undefined;
}
