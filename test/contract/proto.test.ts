import { spawnSync } from "node:child_process";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtempDisposable } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { describe, expect, it } from "vitest";

/** The scripts of package.json that guard the contract, each run on a copy of it with a planted fault. */
const root = join(import.meta.dirname, "..", "..");
const command = "proto/headwater/orders/v1/order_command_service.proto";

describe("the contract's checks", () => {
  it("accept the contract as it is", async () => {
    await using copy = await contractCopy();
    expect(run("lint", copy.path)).toEqual({ status: 0, output: "" });
    expect(run("breaking", copy.path)).toEqual({ status: 0, output: "" });
    expect(run("format", copy.path)).toEqual({ status: 0, output: "" });
    expect(run("generated", copy.path)).toEqual({ status: 0, output: "" });
  });

  it.each([
    ["lint", "an element without a comment", "  // The command.\n", "", "should have a non-empty comment"],
    ["lint", "an enum value without its prefix", "REJECTION_REASON_ORDER_EMPTY", "ORDER_EMPTY", "should be prefixed"],
    ["breaking", "a field that is renumbered", "string customer_id = 3", "string customer_id = 13", "was deleted"],
    ["breaking", "an RPC that is renamed", "rpc PlaceOrder(", "rpc SubmitOrder(", "was deleted"],
    ["generated", "code older than the contract", "string line_id = 3 [", "string line = 3 [", "order_command_service_pb.ts"],
    ["format", "a line out of shape", "  string aggregate_id = 2;", "     string aggregate_id=2;", "string aggregate_id = 2;"],
  ] as const)("%s refuses %s", async (check, _, before, after, complaint) => {
    await using copy = await contractCopy();
    const path = join(copy.path, command);
    const text = readFileSync(path, "utf8");
    expect(text).toContain(before);
    writeFileSync(path, text.replace(before, after));
    const { status, output } = run(check, copy.path);
    expect(status).not.toBe(0);
    expect(output).toContain(complaint);
  });
});

async function contractCopy(): Promise<Awaited<ReturnType<typeof mkdtempDisposable>>> {
  const copy = await mkdtempDisposable(join(tmpdir(), "headwater-proto-"));
  for (const path of ["proto", "internal/gen", "sdk/src/gen", "buf.yaml", "buf.gen.yaml"]) {
    cpSync(join(root, path), join(copy.path, path), { recursive: true });
  }
  return copy;
}

function run(
  check: "lint" | "breaking" | "format" | "generated",
  cwd: string,
): { readonly status: number | null; readonly output: string } {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    readonly scripts: Readonly<Record<string, string>>;
  };
  const env = { ...process.env, PATH: `${join(root, "node_modules", ".bin")}${delimiter}${process.env["PATH"]}` };
  const result = spawnSync(scripts[`proto:${check}`] ?? "", { cwd, env, shell: true, encoding: "utf8" });
  return { status: result.status, output: result.stdout + result.stderr };
}
