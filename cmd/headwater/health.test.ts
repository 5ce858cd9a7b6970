import { execFile } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { expect, it } from "vitest";
import { type GrpcServer, startGrpcServer } from "../../internal/grpc/server.ts";
import { createLogger } from "../../internal/platform/logging.ts";

const main = join(import.meta.dirname, "main.ts");

it("a process that serves ends it with 0, one that does not with 1", async () => {
  await using server = await startServer();
  server.setServing(true);
  expect(await run(server.address)).toEqual({ code: 0, output: "SERVING\n" });
  server.setServing(false);
  expect(await run(server.address)).toEqual({ code: 1, output: "NOT_SERVING\n" });
});

it("a proxy in the environment is not asked", async () => {
  await using server = await startServer();
  server.setServing(true);
  const proxy = "http://127.0.0.1:1";
  const environment = { ...process.env, http_proxy: proxy, https_proxy: proxy, grpc_proxy: proxy, no_proxy: "", no_grpc_proxy: "" };
  expect(await runWith(environment, server.address)).toEqual({ code: 0, output: "SERVING\n" });
});

it("a service that the process does not have ends it with 1", async () => {
  await using server = await startServer();
  const { code, output } = await run(server.address, "--service", "no.such.Service");
  expect(code).toBe(1);
  expect(output).toMatch(/unknown/i);
});

it("nobody at the address, and somebody who says nothing, end it with 1", async () => {
  const silent = createServer((socket) => socket.resume()).listen(0, "127.0.0.1");
  await once(silent, "listening");
  const address = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
  expect(await run(address, "--timeout", "1")).toMatchObject({ code: 1 });
  await once(silent.close(), "close");
  expect(await run(address, "--timeout", "1")).toMatchObject({ code: 1 });
});

it.each([
  ["no address", []],
  ["an address without a port", ["localhost"]],
  ["two addresses", ["127.0.0.1:1", "127.0.0.1:2"]],
  ["no time", ["127.0.0.1:1", "--timeout", "0"]],
  ["an option that it does not have", ["127.0.0.1:1", "--no-such"]],
])("%s ends it with 2 and points to its help", async (_, args) => {
  expect(await run(...args)).toEqual({ code: 2, output: expect.stringContaining("headwater health --help") });
});

it("its help names its options", async () => {
  expect(await run("--help")).toEqual({ code: 0, output: expect.stringMatching(/--service[^]*--timeout/) });
});

function startServer(): Promise<GrpcServer> {
  return startGrpcServer({
    host: "127.0.0.1",
    port: 0,
    services: [],
    errorDomain: "test",
    logger: createLogger({ app: "test", level: "silent" }),
  });
}

function run(...args: readonly string[]) {
  return runWith(process.env, ...args);
}

function runWith(env: NodeJS.ProcessEnv, ...args: readonly string[]): Promise<{ readonly code: number; readonly output: string }> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [main, "health", ...args], { env }, (_, stdout, stderr) => {
      resolve({ code: child.exitCode ?? -1, output: stdout + stderr });
    });
  });
}
