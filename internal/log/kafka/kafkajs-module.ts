/** Where kafkajs's insides are taken from, and replaced: the only version of it that this adapter knows. */

import { createRequire } from "node:module";
import { dirname, sep } from "node:path";

const SUPPORTED_VERSION = "2.2.4";

const require = createRequire(import.meta.url);
const { version } = require("kafkajs/package.json") as { readonly version: string };
if (version !== SUPPORTED_VERSION) {
  throw new Error(`kafkajs ${version} is installed, but this adapter knows the insides of ${SUPPORTED_VERSION} only: install that version`);
}

// Whoever has loaded it before keeps what he has: the changes are for a copy of our own.
const folder = dirname(require.resolve("kafkajs/package.json")) + sep;
for (const path of Object.keys(require.cache)) if (path.startsWith(folder)) delete require.cache[path];

/** A module of kafkajs, by its place in it. The caller says what it exports. */
export function insideOf(place: string): unknown {
  return require(`kafkajs/${place}`);
}

/** Puts something in the place of a module of kafkajs, for those that load it from now on. */
export function replace(place: string, replacement: (original: never) => unknown): void {
  const path = require.resolve(`kafkajs/${place}`);
  // The caller knows what it is.
  const original = require(path) as never;
  const loaded = require.cache[path];
  if (loaded === undefined) throw new Error(`kafkajs has no ${place} to replace`);
  loaded.exports = replacement(original);
}
