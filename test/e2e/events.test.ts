/** The page about events, as a developer in another language follows it: its commands are run as they stand, by programs that are not ours. */

import { execFile } from "node:child_process";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type KafkaServer, startKafka } from "../support/kafka-server.ts";
import { startProcess, type TestProcess } from "../support/processes.ts";
import { kafka as kafkaSource } from "../support/servers.ts";
import { grpcurl, protoc } from "../support/tools.ts";

const run = promisify(execFile);
const page = await readFile("docs/events.md", "utf8");
/** The page shows the first event of the topic, so the broker is one of its own; Kafka's other programs are in the same jars. */
const kafkaJars = kafkaSource?.kind === "program" ? kafkaSource.path : undefined;

describe.skipIf(kafkaJars === undefined || grpcurl === undefined || protoc === undefined)("the page about events", () => {
  let kafka: KafkaServer;
  let handler: TestProcess;
  let service: TestProcess;
  let programs: string;
  const outputs: string[] = [];

  beforeAll(async () => {
    programs = await mkdtemp(join(tmpdir(), "headwater-events-"));
    await writeFile(join(programs, "kafka-console-consumer"), consoleConsumer(kafkaJars ?? ""));
    await chmod(join(programs, "kafka-console-consumer"), 0o755);
    kafka = await startKafka();
    // Events need no documents, so nobody connects to them.
    const servers = { brokers: kafka.brokers, mongoUri: "mongodb://127.0.0.1:1" };
    [handler, service] = await Promise.all([startProcess("command-handler", servers), startProcess("command-service", servers)]);
  });
  afterAll(async () => {
    await Promise.all([handler[Symbol.asyncDispose](), service[Symbol.asyncDispose]()]);
    await kafka[Symbol.asyncDispose]();
    await rm(programs, { recursive: true, force: true });
  });

  const blocks = blocksOf(page);

  it("has its commands: one to write, two to read, one to check", () => {
    expect(blocks.map(({ shown }) => shown === undefined)).toEqual([true, false, false, true]);
  });

  blocks.forEach(({ command, shown }, index) => {
    it(`works: ${command.split("\n")[0]?.slice(0, 60)} (${index + 1})`, async () => {
      outputs[index] = await shell(command);
      expect(timeless(outputs[index])).toBe(timeless(shown ?? outputs[index]));
    });
  });

  it("has every header in its table", () => {
    const [, table = ""] = page.split("\n## Headers\n");
    const named = [...(table.split("\n## ")[0] ?? "").matchAll(/^\| `([\w-]+)` \|/gm)].map(([, name]) => name);
    const sent = [...(outputs[1] ?? "").matchAll(/^([a-z][\w-]*):/gm)].map(([, name]) => name);
    expect(sent).toEqual(named);
  });

  it("finds in Python the checksum that the header has", () => {
    expect(outputs[3]).toMatch(/^[0-9a-f]{1,8}\n$/);
    expect(outputs[1]).toContain(`crc32:${outputs[3]}`);
  });

  /** Runs a command as it stands, but for the ports, which are the test's own. */
  async function shell(command: string): Promise<string> {
    const here = command.replaceAll("127.0.0.1:9092", kafka.brokers.join()).replaceAll("127.0.0.1:50051", service.address);
    const path = [programs, dirname(grpcurl ?? ""), dirname(protoc ?? ""), process.env["PATH"]].join(delimiter);
    const { stdout } = await run("bash", ["-e", "-o", "pipefail", "-c", here], { env: { ...process.env, PATH: path } });
    return stdout;
  }
});

/** The consumer as Kafka's distribution has it under this name. */
function consoleConsumer(jars: string): string {
  return `#!/bin/sh\nexec java -Xshare:auto -XX:TieredStopAtLevel=1 -cp '${jars}/*' org.apache.kafka.tools.consumer.ConsoleConsumer "$@"\n`;
}

/** The shell blocks of the page, each with the output that is shown behind it, if any. */
function blocksOf(text: string): readonly { readonly command: string; readonly shown: string | undefined }[] {
  const blocks = text.matchAll(/```sh\n(?<command>[^`]+)```(?:\n+```text\n(?<shown>[^`]*)```)?/g);
  return [...blocks].map(({ groups }) => ({ command: groups?.["command"] ?? "", shown: groups?.["shown"] }));
}

/** Without what the time of the run decides. */
function timeless(output: string): string {
  return output.replace(/(?<=recorded_at \{)[^}]*(?=\})/, " … ").replace(/(?<=^crc32:)[0-9a-f]+$/m, "…");
}
