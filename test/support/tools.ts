/** Programs outside npm that some tests need. Locally such a test is skipped where its program is missing; with CI=true it fails. */

import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

const cache = join(import.meta.dirname, "..", "..", ".cache");
const installed = [join(cache, "bin"), join(cache, "protoc", "bin")];

/** The path of grpcurl, or undefined where it is missing: `describe.skipIf(grpcurl === undefined)`. */
export const grpcurl = findTool("grpcurl");

/** The path of protoc, the same way. */
export const protoc = findTool("protoc");

/** @throws {Error} the program is missing, and this is CI */
export function findTool(name: string, environment: Readonly<NodeJS.ProcessEnv> = process.env): string | undefined {
  const folders = [...installed, ...(environment["PATH"] ?? "").split(delimiter)];
  const path = folders.map((folder) => join(folder, name)).find((candidate) => existsSync(candidate));
  if (path === undefined && environment["CI"] === "true") throw new Error(`${name} is missing: npm run tools or npm run servers brings it`);
  return path;
}
