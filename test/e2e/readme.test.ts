/** The README's commands, as a newcomer pastes them: every block of its sections is run, in order, against a process of its own. */

import { execFile, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DevProcess, startDevProcess } from "../support/dev-process.ts";
import { grpcurl } from "../support/tools.ts";

const run = promisify(execFile);
const readme = await readFile("README.md", "utf8");

describe.skipIf(grpcurl === undefined)("the README's first order", () => {
  let dev: DevProcess;
  beforeAll(async () => {
    dev = await startDevProcess();
  });
  afterAll(() => dev[Symbol.asyncDispose]());

  const expected = [
    /headwater\.orders\.v1\.OrderCommandService/,
    /"version": 1/,
    /"version": 2/,
    /"version": 3/,
    /"stage": "COMMAND_STAGE_PROJECTED"/,
    /"status": "ORDER_STATUS_SHIPPED"/,
    /"status":"ORDER_STATUS_SHIPPED"/,
  ];
  const blocks = blocksOf("A first order");

  it("has as many commands as are expected here", () => expect(blocks).toHaveLength(expected.length));

  blocks.forEach((block, index) => {
    it(`works: ${block.split("\n")[0]?.slice(0, 60)}`, async () => {
      const { stdout } = await shell(block);
      expect(stdout).toMatch(expected[index] ?? /^$/);
    });
  });

  it("can be described, and is healthy", async () => {
    const described = await shell("grpcurl -plaintext 127.0.0.1:50051 describe headwater.orders.v1.PlaceOrderRequest");
    expect(described.stdout).toContain("string order_id = 1");
    for (const port of [50_051, 50_052]) {
      const health = await shell(`grpcurl -plaintext 127.0.0.1:${port} grpc.health.v1.Health/Check`);
      expect(health.stdout).toContain("SERVING");
    }
  });

  /** Runs a block as it stands, but for the ports, which are the test's own. */
  function shell(block: string) {
    const command = block
      .replaceAll("127.0.0.1:50051", dev.commandAddress)
      .replaceAll("127.0.0.1:50052", dev.queryAddress)
      .replaceAll("127.0.0.1:8080", dev.gatewayAddress);
    return run("bash", ["-c", command], { env: { ...process.env, PATH: `${dirname(grpcurl ?? "")}:${process.env["PATH"]}` } });
  }
});

describe("the README's scripts", () => {
  it("exist", async () => {
    const { scripts } = JSON.parse(await readFile("package.json", "utf8")) as { readonly scripts: Readonly<Record<string, string>> };
    const named = [...readme.matchAll(/npm run ([a-z:-]+)|npm (start|test)/g)].map(([, script, short]) => script ?? short ?? "");
    expect(named.filter((name) => scripts[name] === undefined)).toEqual([]);
    expect(named.length).toBeGreaterThan(5);
  });

  it.each([
    ["start", "--in-memory"],
    ["start:command-service", "--kafka-brokers"],
  ])("npm run %s shows its options with --help", async (script, option) => {
    const { stdout } = await run("npm", ["run", script, "--silent", "--", "--help"]);
    expect(stdout).toContain(option);
  });

  it("the import of real orders ends with an account that adds up", async () => {
    const [block = ""] = blocksOf("Real orders");
    await using dev = await startDevProcess();
    const args = `${block.replace("npm run headwater -- ", "")} --json --command-url http://${dev.commandAddress} --query-url http://${dev.queryAddress}`;
    const child = spawn("npm", ["run", "--silent", "headwater", "--", ...args.split(" ")], { stdio: ["ignore", "pipe", "ignore"] });
    const output: Buffer[] = [];
    for await (const chunk of child.stdout) output.push(chunk as Buffer);
    const account = JSON.parse(Buffer.concat(output).toString("utf8")) as Readonly<Record<string, unknown>>;
    expect(account).toMatchObject({ rows: 10_000 });
  });
});

/** The shell blocks of a section. */
function blocksOf(section: string): readonly string[] {
  const body = readme.split(`## ${section}\n`)[1]?.split("\n## ")[0] ?? "";
  return [...body.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block?.trim() ?? "");
}
