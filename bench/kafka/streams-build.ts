/** Kafka Streams is no dependency of the project: Maven fetches it, and the JDK compiles the topology, when it is measured for the first time. */

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, rename } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

const root = join(import.meta.dirname, "..", "..");
const source = join(root, "bench", "peers", "kafka-streams");

const execute = promisify(execFile);

let building: Promise<string> | undefined;

/** The classpath of the topology. @throws {Error} what is missing to build it */
export function streamsClasspath(): Promise<string> {
  building ??= build();
  return building;
}

async function build(): Promise<string> {
  const [pom, program] = [join(source, "pom.xml"), join(source, "OrderTopology.java")];
  const hash = createHash("sha256");
  for (const path of [pom, program]) hash.update(await readFile(path));
  const folder = join(root, ".cache", `kafka-streams-${hash.digest("hex").slice(0, 12)}`);
  if (!existsSync(folder)) {
    process.stderr.write(`fetching Kafka Streams (mvn -f ${pom}) and compiling its topology\n`);
    const partial = `${folder}.${process.pid}.partial`;
    await run("mvn", ["-q", "-B", "-f", pom, "dependency:copy-dependencies", `-DoutputDirectory=${partial}`]);
    await run("javac", ["-cp", join(partial, "*"), "-d", join(partial, "classes"), program]);
    await rename(partial, folder);
  }
  return [join(folder, "classes"), join(folder, "*")].join(delimiter);
}

async function run(program: string, args: readonly string[]): Promise<void> {
  try {
    await execute(program, args);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") throw new Error(`${program} is missing`, { cause: error });
    throw error;
  }
}
