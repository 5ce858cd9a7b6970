/** How a command reaches a `headwater dev` that has the folder open: a file in the folder says where it listens, and what to say first. */

import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Raised whenever the calls of the log's or the documents' threads change such that an older program would not understand. */
export const PROTOCOL = 2;

/** The first frame of each side is short. */
export const MAX_HELLO_BYTES = 1_024;

/** Who connects says hello at once. */
export const HELLO_TIMEOUT_MS = 5_000;

/** What of the system a connection carries. */
export type Part = "log" | "documents";

/** The first frame of a client, as JSON. */
export interface Hello {
  readonly secret: string;
  readonly protocol: number;
  readonly part: Part;
}

/** The first frame of the server, as JSON. It answers to nobody who does not know the secret. */
export interface Welcome {
  readonly protocol: number;
}

/** What the file says. */
export interface Address {
  readonly port: number;
  readonly secret: string;
}

/** Only its owner may read it: who knows the secret may do everything. */
export async function writeAddress(directory: string, address: Address): Promise<void> {
  const path = join(directory, FILE);
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  await writeFile(temporary, JSON.stringify(address), { mode: 0o600 });
  await rename(temporary, path);
}

export async function removeAddress(directory: string): Promise<void> {
  await rm(join(directory, FILE), { force: true });
}

/** Undefined if there is none that makes sense; one that is there may be of a process that was killed. */
export async function readAddress(directory: string): Promise<Address | undefined> {
  try {
    const { port, secret } = JSON.parse(await readFile(join(directory, FILE), "utf8")) as Partial<Address>;
    return typeof port === "number" && typeof secret === "string" ? { port, secret } : undefined;
  } catch {
    return undefined;
  }
}

export function encodeHello(hello: Hello | Welcome): Buffer {
  return Buffer.from(JSON.stringify(hello));
}

/** Undefined if it is no object. */
export function parseHello(frame: Buffer): Partial<Hello> | undefined {
  try {
    const parsed: unknown = JSON.parse(frame.toString());
    return typeof parsed === "object" && parsed !== null ? parsed : undefined;
  } catch {
    return undefined;
  }
}

const FILE = "operator.json";
