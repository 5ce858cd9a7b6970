/** The image has what the processes need. No container engine is needed: what it would contain is read off the Dockerfile. */

import { globSync } from "node:fs";
import { dirname, join, matchesGlob } from "node:path/posix";
import { expect, it } from "vitest";
import { portOf, read, root, textOf } from "../support/deployment.ts";
import { optionsOf, processNames } from "../support/help.ts";

const dockerfile = textOf("Dockerfile").replaceAll("\\\n", " ");
const { dependencies } = JSON.parse(textOf("package.json")) as { readonly dependencies: Readonly<Record<string, string>> };
const ignored = textOf(".dockerignore").split("\n");
const copied = instructions("COPY").flatMap((copy) => (copy.startsWith("--from") ? [] : copy.split(/ +/).slice(0, -1)));

it("the image runs on the Node that package.json brings", () => {
  const bases = instructions("FROM").map((from) => from.split(/[ -]/)[0]);
  expect(new Set(bases)).toEqual(new Set([`node:${dependencies["node"]}`]));
});

it("what the image takes exists, and is let in", () => {
  const taken = copied.map((path) => path.replace(/^\.\//, ""));
  expect(taken).toEqual(expect.arrayContaining(["cmd", "internal", "sdk/src", "package-lock.json"]));
  expect(taken.filter((path) => globSync(path, { cwd: root }).length === 0)).toEqual([]);
  expect(ignored).toEqual(expect.arrayContaining(taken.map((path) => `!${path}`)));
});

it("the image sets variables that are options, and names the ports where processes listen", async () => {
  const dev = await optionsOf("dev");
  const variables = instructions("ENV").flatMap((line) => line.split(/ +/).map((pair) => pair.split("=")[0] ?? ""));
  const known = new Set([
    ...[...read.values()].flatMap((options) => [...options.keys()]),
    ...[...dev.values()].map(({ variable }) => variable),
  ]);
  expect(variables).toContain("HEADWATER_HOST");
  expect(variables.filter((variable) => !known.has(variable))).toEqual([]);
  expect(instructions("EXPOSE").flatMap((line) => line.split(" ").map(Number))).toEqual(processNames.map(portOf).sort((a, b) => a - b));
});

it("the image runs without root, and no shell keeps signals from the process", () => {
  expect(instructions("USER")).toEqual([expect.stringMatching(/^[1-9]\d+:[1-9]\d+$/)]);
  expect(instructions("STOPSIGNAL")).toEqual(["SIGTERM"]);
  expect([...instructions("ENTRYPOINT"), ...instructions("CMD")].every((line) => line.startsWith("["))).toBe(true);
});

it("every import of a process is in the image, and every package among the dependencies for production", () => {
  const files = new Map(imageFiles().map((path) => [path, textOf(path)]));
  const entries = [...files.keys()].filter((path) => /^cmd\/[\w-]+\/main\.ts$/.test(path));
  expect(entries).toHaveLength(processNames.length + 1);
  expect(missingImports(files, entries)).toEqual([]);
});

it("a package for development, a file that is not in the image and a worker without one are found", () => {
  const files = new Map([
    [
      "cmd/a/main.ts",
      'import { x } from "./b.ts";\nimport type { T } from "typescript";\nimport "node:fs";\nimport {\n  y,\n} from "vitest";',
    ],
    [
      "cmd/a/b.ts",
      'export { z } from "../../gone.ts";\nnew Worker(new URL("./worker.ts", import.meta.url));\nimport { k } from "kafkajs/package.json";',
    ],
  ]);
  expect(missingImports(files, ["cmd/a/main.ts"])).toEqual(["cmd/a/main.ts: vitest", "cmd/a/b.ts: gone.ts", "cmd/a/b.ts: cmd/a/worker.ts"]);
});

function instructions(name: string): readonly string[] {
  return [...dockerfile.matchAll(new RegExp(`^${name} +(?<rest>.*)$`, "gm"))].map((match) => match.groups?.["rest"]?.trim() ?? "");
}

/** The sources that are copied, without those that .dockerignore keeps out at any depth. */
function imageFiles(): readonly string[] {
  const kept = ignored.filter((pattern) => pattern.startsWith("**/"));
  const folders = copied.filter((path) => !path.includes("."));
  return folders
    .flatMap((folder) => globSync(`${folder}/**/*.ts`, { cwd: root }))
    .filter((path) => !kept.some((pattern) => matchesGlob(path, pattern) || matchesGlob(path, `${pattern}/**`)));
}

/** Imports that lead out of the files, or to packages that are no dependencies, from everything that the entries reach. */
function missingImports(files: ReadonlyMap<string, string>, entries: readonly string[]): readonly string[] {
  const reached = new Set(entries);
  const missing: string[] = [];
  for (const path of reached) {
    for (const specifier of importsOf(files.get(path) ?? "")) {
      const target = specifier.startsWith(".") ? join(dirname(path), specifier) : undefined;
      if (target !== undefined && files.has(target)) reached.add(target);
      else if (target !== undefined) missing.push(`${path}: ${target}`);
      else if (!isProvided(specifier)) missing.push(`${path}: ${specifier}`);
    }
  }
  return missing;
}

/** Types are gone when Node runs a file, and so are their imports. */
function importsOf(text: string): readonly string[] {
  const statement = /^(?:import|export)(?! type\b)(?: [\w\s*{},]+ from)? "(?<path>[^"]+)"/gm;
  const call = /(?:\bimport|\brequire|\bnew URL)\(\s*"(?<path>[^"]+)"/g;
  return [...text.matchAll(statement), ...text.matchAll(call)].map((match) => match.groups?.["path"] ?? "");
}

function isProvided(specifier: string): boolean {
  const [scope = "", name = ""] = specifier.split("/");
  return specifier.startsWith("node:") || Object.hasOwn(dependencies, scope.startsWith("@") ? `${scope}/${name}` : scope);
}
