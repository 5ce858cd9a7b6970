/** Whatever happens to a process, it ends, and says why. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, it } from "vitest";

const fixture = join(import.meta.dirname, "live.fixture.ts");

it.each([
  ["it works", ["SIGTERM"], 0, "fixture is stopping\n"],
  ["it works", ["SIGINT"], 0, "fixture is stopping\n"],
  ["it never closes", ["SIGTERM", "SIGTERM"], 1, "fixture is stopping\n"],
  ["it never closes", ["SIGINT", "SIGTERM"], 1, "fixture is stopping\n"],
  ["it cannot close", ["SIGTERM"], 1, "fixture has ended: the reason\n"],
  ["it cannot start", [], 1, "fixture has ended: the reason\n"],
  ["it never starts", ["SIGTERM"], 0, "fixture is stopping\n"],
  ["it fails and never closes", [], 1, "fixture has ended: the reason\n"],
  ["it fails and cannot close", [], 1, "fixture has ended: the reason; then, while it closed: another reason\n"],
  ["nobody catches an error", [], 1, "fixture has ended: the reason\n"],
] as const)("a process ends, where %s and it is sent %j, with exit code %d and a last line", async (way, signals, code, lastLine) => {
  const child = spawn(process.execPath, [fixture, way], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "exit");
  const [stdout, stderr] = [text(child.stdout), text(child.stderr)];
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const before = way === "it never starts" ? "started\n" : "it runs\n";
  for (const signal of signals) {
    await expect.poll(() => said).toContain(said.includes(before) ? "fixture is stopping\n" : before);
    child.kill(signal);
  }
  expect(await ended).toEqual([code, null]);
  expect(`${await stdout}${await stderr}`.endsWith(lastLine)).toBe(true);
});
