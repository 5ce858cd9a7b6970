import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { startGuarded } from "./guarded-process.ts";

const fixture = fileURLToPath(new URL("./guarded-process.fixture.ts", import.meta.url));
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "headwater-guarded-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it("a server is gone, and its folder with it, once the process that started it was killed", async () => {
  const parent = spawn(process.execPath, [fixture, folder], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(createInterface(parent.stdout), "line")) as [string];
  const pid = Number(line);
  expect(isRunning(pid)).toBe(true);
  parent.kill("SIGKILL");
  await expect.poll(() => isRunning(pid), { timeout: 10_000 }).toBe(false);
  await expect.poll(() => existsSync(folder), { timeout: 10_000 }).toBe(false);
});

it("a server that was ended leaves its folder for the next start", async () => {
  await using cleaning = new AsyncDisposableStack();
  const server = startGuarded(process.execPath, ["--eval", "console.log('up'); setInterval(() => {}, 1_000)"], folder);
  cleaning.defer(() => server.end("SIGKILL"));
  await expect.poll(() => server.output(), { timeout: 10_000 }).toBe("up");
  await server.end("SIGTERM");
  expect(await server.exited).toBe("by SIGTERM");
  expect(isRunning(server.pid)).toBe(false);
  expect(existsSync(folder)).toBe(true);
});

it("a program that does not exist ends at once and says why", async () => {
  const server = startGuarded("no-such-program", [], folder);
  await server.exited;
  expect(server.output()).toContain("ENOENT");
});

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
