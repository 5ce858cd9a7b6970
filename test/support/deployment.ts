/** What the files that deploy the processes must agree on with the processes. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse, parseAllDocuments } from "yaml";
import type { Option } from "../../internal/platform/config.ts";
import { allOptions } from "../../internal/process/options.ts";
import { optionsOf, processNames, type ToldOption } from "./help.ts";

export const root = join(import.meta.dirname, "..", "..");

export type ProcessName = (typeof processNames)[number];

/** What each process reads, by the variable. */
export const read = new Map(
  await Promise.all(
    processNames.map(async (name) => {
      const options = [...(await optionsOf(name)).values()];
      return [name, new Map(options.map((option) => [option.variable, option]))] as const;
    }),
  ),
) as ReadonlyMap<string, ReadonlyMap<string, ToldOption>>;

const ports = {
  "command-service": "command-port",
  "command-handler": "handler-health-port",
  projector: "projector-health-port",
  "query-service": "query-port",
  gateway: "gateway-port",
} as const satisfies Record<ProcessName, keyof typeof allOptions>;

/** Where a process listens if nobody says otherwise. */
export function portOf(name: string): number {
  return Number(allOptions[ports[name as ProcessName]].default);
}

export function isProcess(name: string): name is ProcessName {
  return processNames.some((candidate) => candidate === name);
}

/** What is wrong with the variables that a process is given; an undefined value is not known. */
export function variableProblems(process: string, variables: Readonly<Record<string, string | undefined>>): readonly string[] {
  return Object.entries(variables).flatMap(([variable, value]) => {
    const option = read.get(process)?.get(variable);
    if (option === undefined) return [`${process} does not read ${variable}`];
    if (value === undefined || option.flag === "config") return [];
    try {
      (allOptions as Readonly<Record<string, Option<unknown>>>)[option.flag]?.parse(value);
      return [];
    } catch (error) {
      return [`${process}: ${variable} ${String(error)}`];
    }
  });
}

/** What is wrong with a container's command: it must be the process's file. */
export function commandProblems(process: string, command: readonly string[] | undefined): readonly string[] {
  const [file = "", ...flags] = command ?? [];
  if (file !== `cmd/${process}/main.ts` || !existsSync(join(root, file))) return [`${process} is started by ${file}`];
  const known = new Set([...(read.get(process)?.values() ?? [])].map(({ flag }) => flag));
  return flags.filter((flag) => !known.has(flag.replace(/^--/, "").replace(/=.*/, ""))).map((flag) => `${process} has no flag ${flag}`);
}

export function textOf(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

/** The shape is the caller's claim: what is not so shows as a problem or an undefined value. */
export function readYaml<Shape>(path: string): Shape {
  return parse(textOf(path), { merge: true }) as Shape;
}

export function readAllYaml<Shape>(path: string): readonly Shape[] {
  return parseAllDocuments(textOf(path)).map((document) => {
    if (document.errors.length > 0) throw new Error(`${path}: ${document.errors.join("; ")}`);
    return document.toJS() as Shape;
  });
}

/** The version under which the image is built. */
export const image = `headwater:${(JSON.parse(textOf("package.json")) as { readonly version: string }).version}`;
