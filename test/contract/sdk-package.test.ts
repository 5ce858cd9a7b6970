/** The SDK as its users get it: packed, installed into an empty project, run as plain JavaScript and checked by their compiler. */

import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startTestServer } from "../../internal/grpc/testing/harness.ts";

const run = promisify(execFile);
const root = join(import.meta.dirname, "../..");

/** Installing asks the registry for the dependencies. */
const INSTALL_TIMEOUT_MS = 180_000;

let project: string;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "headwater-sdk-"));
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", project, "--workspace", "@headwater/sdk"], { cwd: root });
  const [tarball] = stdout.match(/headwater-sdk-[^"]+\.tgz/) ?? [];
  await writeFile(join(project, "package.json"), JSON.stringify({ name: "shop", private: true, type: "module" }));
  await run("npm", ["install", "--no-audit", "--no-fund", `./${tarball}`], { cwd: project });
}, INSTALL_TIMEOUT_MS);

afterAll(() => rm(project, { recursive: true, force: true }));

it("a script in plain JavaScript sends a command and reads it", async () => {
  await using upstream = await startTestServer({
    command: { createOrder: async ({ orderId, options }) => ({ receipt: { orderId, commandId: options?.commandId ?? "", version: 1 } }) },
    query: { getOrder: async ({ orderId }) => ({ order: { orderId, version: 1 } }) },
  });
  const script = `
    import { OrderRejectedError, OrderStatus } from "@headwater/sdk";
    import { connectGrpc } from "@headwater/sdk/node";
    import { connectWeb } from "@headwater/sdk/web";
    const url = "http://${upstream.server.address}";
    const session = connectGrpc({ commandUrl: url, queryUrl: url }).session();
    const { version } = await session.createOrder({ orderId: "a", currencyCode: "EUR" });
    const { order } = await session.getOrder({ orderId: "a" });
    console.log(version, order.orderId, OrderStatus.DRAFT, typeof OrderRejectedError, typeof connectWeb);
  `;
  await writeFile(join(project, "script.js"), script);
  const { stdout } = await run(process.execPath, ["script.js"], { cwd: project });
  expect(stdout.trim()).toBe("1 a 1 function function");
});

it.each([
  ["takes what the contract allows", "quantity: 2", ""],
  ["refuses what it does not allow", `quantity: "two"`, "Type 'string' is not assignable to type 'number'"],
])("a user's compiler %s", async (_, quantity, error) => {
  const script = `
    import { OrderRejectedError, type Receipt } from "@headwater/sdk";
    import { connectGrpc } from "@headwater/sdk/node";
    const session = connectGrpc().session();
    try {
      const receipt: Receipt = await session.changeLineQuantity({ orderId: "a", lineId: "1", ${quantity} });
      console.log(receipt.version satisfies number);
    } catch (error) {
      if (error instanceof OrderRejectedError && error.reason === "LINE_NOT_FOUND") console.log(error.currentVersion);
    }
    export {};
  `;
  await writeFile(join(project, "script.ts"), script);
  const options = [
    "--noEmit",
    "--strict",
    "--target",
    "es2022",
    "--module",
    "nodenext",
    "--lib",
    "es2023,esnext.disposable,dom",
    "--types",
    "",
  ];
  const compiler = join(root, "node_modules/.bin/tsc");
  const { stdout } = await run(compiler, [...options, "--skipLibCheck", "script.ts"], { cwd: project }).catch((failure) => failure);
  expect(stdout.includes(error) && (stdout === "") === (error === "")).toBe(true);
});

it("the entry for browsers reaches no module of Node", async () => {
  const { build } = await import("vite");
  await writeFile(join(project, "page.js"), `import { connectWeb } from "@headwater/sdk/web"; globalThis.connect = connectWeb;`);
  const output = await build({
    root: project,
    logLevel: "silent",
    build: { write: false, lib: { entry: "page.js", formats: ["es"] } },
  });
  const code = JSON.stringify(output);
  expect(code).toContain("OrderCommandService");
  expect(code).not.toMatch(/node:http2|__vite-browser-external/);
});
