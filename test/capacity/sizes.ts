/** How much memory the manifests give to each process: the least of those that start it. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import type { ProcessName } from "../support/processes.ts";

const root = join(import.meta.dirname, "..", "..");

const units = { Mi: 1024 ** 2, Gi: 1024 ** 3, m: 1024 ** 2, g: 1024 ** 3 } as const;

interface Compose {
  readonly services: Readonly<Record<string, { readonly mem_limit: string }>>;
}

interface Manifest {
  readonly spec: {
    readonly template: {
      readonly spec: { readonly containers: readonly { readonly resources: { readonly limits: { readonly memory: string } } }[] };
    };
  };
}

export function memoryOf(name: ProcessName): number {
  const compose = parse(readFileSync(join(root, "compose.yaml"), "utf8"), { merge: true }) as Compose;
  const [manifest] = parseAll(readFileSync(join(root, "deploy", "kubernetes", `${name}.yaml`), "utf8"));
  const sizes = [compose.services[name]?.mem_limit, manifest?.spec.template.spec.containers[0]?.resources.limits.memory];
  return Math.min(...sizes.map(bytesOf));
}

/** The documents of a file that run containers. */
function parseAll(text: string): readonly Manifest[] {
  const documents = text.split(/^---$/m).map((each) => parse(each) as Partial<Manifest> | null);
  return documents.filter((document): document is Manifest => document?.spec?.template !== undefined);
}

function bytesOf(size: string | undefined): number {
  const [, number = "", unit = ""] = /^(\d+)(Mi|Gi|m|g)$/.exec(size ?? "") ?? [];
  if (number === "") throw new Error(`${size} is no size that this test knows`);
  return Number(number) * units[unit as keyof typeof units];
}
