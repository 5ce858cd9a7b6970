/** `npm run servers`: brings the real Kafka and the real mongod of the tests into `.cache`, and protoc, once per version. */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const cache = join(import.meta.dirname, "..", "..", ".cache");

interface Server {
  readonly title: string;
  /** Its folder in the cache. */
  readonly name: string;
  /** The file beside this one that pins it. */
  readonly pin: string;
  /** The program that fetches it, and its arguments. */
  readonly fetch: (pin: string, folder: string) => readonly [program: string, ...args: string[]];
  /** A file in its folder that comes without the permission to run it. */
  readonly executable?: string;
}

/** What is fetched is what the hashes say, with nothing that it would ask for, and nothing is built. */
const pipOptions = [
  "install",
  "--quiet",
  "--disable-pip-version-check",
  "--root-user-action=ignore",
  "--no-deps",
  "--only-binary",
  ":all:",
  "--require-hashes",
] as const;

const mavenOptions = ["-q", "-B"] as const;

/** This machine as the names of protoc's builds have it. */
const platforms: Readonly<Partial<Record<NodeJS.Platform, string>>> = { darwin: "osx", win32: "windows" };
const architectures: Readonly<Partial<Record<NodeJS.Architecture, string>>> = { x64: "x86_64", arm64: "aarch_64" };
const platform = `${platforms[process.platform] ?? process.platform}-${architectures[process.arch] ?? process.arch}`;

const servers: readonly Server[] = [
  {
    title: "Kafka 4.1.1",
    name: "kafka",
    pin: "pom.xml",
    fetch: (pin, folder) => ["mvn", ...mavenOptions, "-f", pin, "dependency:copy-dependencies", `-DoutputDirectory=${folder}`],
  },
  {
    title: "mongod 6.0.5",
    name: "mongod",
    pin: "mongod.txt",
    fetch: (pin, folder) => ["python3", "-m", "pip", ...pipOptions, "--target", folder, "-r", pin],
  },
  {
    title: "protoc 33.1",
    name: "protoc",
    pin: "protoc.xml",
    fetch: (pin, folder) => [
      "mvn",
      ...mavenOptions,
      "-f",
      pin,
      `-Dplatform=${platform}`,
      `-DoutputDirectory=${folder}`,
      "process-resources",
    ],
    executable: join("bin", "protoc"),
  },
];

for (const server of servers) install(server);

/** Fetches into a folder beside and renames it, so that a folder under its name is complete. */
function install({ title, name, pin, fetch, executable }: Server): void {
  const pinFile = join(import.meta.dirname, pin);
  const folder = join(cache, name);
  const stamp = createHash("sha256").update(readFileSync(pinFile)).digest("hex");
  if (existsSync(join(folder, stamp))) return console.log(`${title}: already in .cache/${name}`);
  const partial = `${folder}.${process.pid}.partial`;
  mkdirSync(partial, { recursive: true });
  const startedAt = performance.now();
  try {
    const [program, ...args] = fetch(pinFile, partial);
    execFileSync(program, args, { stdio: ["ignore", "inherit", "inherit"] });
    if (executable !== undefined) chmodSync(join(partial, executable), 0o755);
    writeFileSync(join(partial, stamp), "");
    rmSync(folder, { recursive: true, force: true });
    renameSync(partial, folder);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
  console.log(`${title}: fetched into .cache/${name} in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
}
