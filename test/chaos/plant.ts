/** Loaded into a process before its own code: breaks one rule of it, by changing its source as it is loaded. */

import { registerHooks } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { editsOf, faultVariable, plantedFaults } from "./planted-faults.ts";

const name = process.env[faultVariable] ?? "";
const fault = plantedFaults.find((each) => each.name === name);
if (fault === undefined) throw new Error(`there is no planted fault ${JSON.stringify(name)}`);
const edits = Map.groupBy(editsOf(fault), ({ file }) => pathToFileURL(join(import.meta.dirname, "..", "..", file)).href);

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context);
    const own = edits.get(url);
    if (own === undefined) return loaded;
    let source = typeof loaded.source === "string" ? loaded.source : Buffer.from(loaded.source as Uint8Array).toString();
    for (const { file, find, replace } of own) {
      if (source.split(find).length !== 2) throw new Error(`${file} does not have ${JSON.stringify(find)} exactly once`);
      source = source.replace(find, () => replace);
    }
    return { ...loaded, source };
  },
});
