/**
 * Adds to package-lock.json the optional packages of other platforms that npm left out. A registry that mirrors only some platforms makes npm
 * write a lock file without the others, and `npm ci` then refuses it. Packages that could not be seen are entered without their checksum.
 */

import { readFileSync, writeFileSync } from "node:fs";

interface Package {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
}

const systems = ["android", "darwin", "freebsd", "linux", "openharmony", "win32"];
const processors = new Map([
  ["aarch64", "arm64"],
  ["arm", "arm"],
  ["armv7", "arm"],
  ["arm64", "arm64"],
  ["ia32", "ia32"],
  ["ppc64", "ppc64"],
  ["riscv64", "riscv64"],
  ["s390x", "s390x"],
  ["x64", "x64"],
]);

const path = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(path, "utf8")) as { packages: Record<string, Package> };
const added = Object.values(lock.packages).flatMap(missingOf);
for (const [key, entry] of added) lock.packages[key] = entry;
const byKey = ([left]: readonly [string, Package], [right]: readonly [string, Package]) => left.localeCompare(right, "en");
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(byKey));
if (added.length > 0) writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`package-lock.json: ${added.length} packages of other platforms added`);

function missingOf(parent: Package): readonly (readonly [string, Package])[] {
  return Object.entries(parent.optionalDependencies ?? {})
    .filter(([name]) => !(`node_modules/${name}` in lock.packages))
    .map(([name, version]) => [`node_modules/${name}`, entryOf(name, version, parent)] as const);
}

function entryOf(name: string, version: string, parent: Package): Package {
  const words = name.split(/[/-]/);
  const os = systems.filter((system) => words.includes(system));
  const cpu = words.flatMap((word) => processors.get(word) ?? []);
  if (os.length !== 1 || cpu.length !== 1) throw new Error(`${name}: the name tells no platform; add it to package-lock.json by hand`);
  const libc = words.some((word) => word.includes("musl"))
    ? ["musl"]
    : os[0] === "linux" && words.some((word) => word.startsWith("gnu"))
      ? ["glibc"]
      : [];
  return { version, cpu, ...(parent.dev && { dev: true }), ...(libc.length > 0 && { libc }), optional: true, os };
}
