/** What disks do to local copies of the state: they lose, mix up and set them back, or are full. */

import { execFile } from "node:child_process";
import { createWriteStream } from "node:fs";
import { cp, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { type Begun, type Fault, type Scene, serverFault } from "./faults.ts";
import type { Random } from "./random.ts";
import { removeFolder, type SupervisedProcess } from "./supervise.ts";

/** Only root may mount, and only Linux has this file system. Elsewhere no disk gets full. */
export const canMount = process.platform === "linux" && process.getuid?.() === 0;

/** From room for the tables alone to room for a part of the state. */
const DISK_KIBIBYTES = { min: 128, max: 4_096 } as const;

const PAGE_BYTES = 4_096;

export const copyFaults: readonly Fault[] = [
  {
    name: "kill command-handler, state lost",
    weight: 2,
    begin: (scene, random) => copyFault(scene, random, "", (handler) => handler.killAndChange(removeFolder)),
  },
  brokenCopy("breaks the header of", async (file) => overwrite(file, 0, 100)),
  brokenCopy("breaks pages of", async (file, random) => {
    const pages = Math.floor((await stat(file)).size / PAGE_BYTES);
    if (pages > 2) await overwrite(file, random.integer(1, pages - 1) * PAGE_BYTES, random.integer(1, 8) * PAGE_BYTES);
  }),
  brokenCopy("cuts off", async (file, random) => {
    const { size } = await stat(file);
    const handle = await open(file, "r+");
    await handle.truncate(random.integer(0, size));
    await handle.close();
  }),
  {
    name: "state copy set back",
    weight: 2,
    begin(scene, random) {
      const afterMs = random.integer(2_000, 8_000);
      const former = (folder: string) => `${folder}.former`;
      return copyFault(scene, random, `by ${afterMs} ms`, async (handler) => {
        await handler.killAndChange((folder) => replaceFolder(folder, former(folder)));
        await delay(afterMs);
        await handler.killAndChange((folder) => replaceFolder(former(folder), folder));
      });
    },
  },
  {
    name: "a disk with a state copy is full",
    weight: canMount ? 2 : 0,
    begin(scene, random) {
      const kibibytes = random.integer(DISK_KIBIBYTES.min, DISK_KIBIBYTES.max);
      const forMs = random.integer(4_000, 10_000);
      const text = `at ${kibibytes} KiB for ${forMs} ms`;
      if (!canMount) return { text, over: Promise.resolve(false) };
      return copyFault(scene, random, text, async (handler) => {
        await handler.killAndChange((folder) => mountSmall(folder, kibibytes));
        await delay(forMs);
        await handler.killAndChange(unmount);
      });
    },
  },
];

/** Of one of the handlers; not while another is under way with the same copy. */
function copyFault(scene: Scene, random: Random, text: string, run: (handler: SupervisedProcess) => Promise<void>): Begun {
  const handler = random.pick(scene.system.named("command-handler"));
  return serverFault(scene, `copy of ${handler.instance}`, `${handler.instance} ${text}`.trimEnd(), () => run(handler));
}

/** A disk that has lost or mixed up what was written to it. */
function brokenCopy(what: string, damage: (file: string, random: Random) => Promise<void>): Fault {
  return {
    name: `a disk ${what} a state copy`,
    weight: 1,
    begin: (scene, random) =>
      copyFault(scene, random, "", (handler) =>
        handler.killAndChange(async (folder) => {
          for (const file of await databasesIn(folder)) await damage(file, random);
        }),
      ),
  };
}

async function databasesIn(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  return names.filter((name) => name.endsWith(".sqlite")).map((name) => join(folder, name));
}

async function overwrite(file: string, at: number, length: number): Promise<void> {
  const handle = await open(file, "r+");
  const { size } = await handle.stat();
  const bytes = Math.max(0, Math.min(length, size - at));
  await handle.write(Buffer.alloc(bytes, 0xa5), 0, bytes, at);
  await handle.close();
}

async function replaceFolder(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await cp(from, to, { recursive: true }).catch(() => undefined);
}

const run = promisify(execFile);

/** Another disk, empty and small, over what is there. */
export async function mountSmall(folder: string, kibibytes: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  await run("mount", ["-t", "tmpfs", "-o", `size=${kibibytes}k`, "tmpfs", folder]);
}

/** Takes all the room that is left. */
export async function fill(folder: string): Promise<void> {
  const filler = createWriteStream(join(folder, "filler"));
  const zeros = Readable.from(repeated(Buffer.alloc(64 * 1_024)));
  await pipeline(zeros, filler).catch((error: unknown) => {
    if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
  });
}

function* repeated<Value>(value: Value): Generator<Value> {
  for (;;) yield value;
}

/** Also while a process has it open. */
export async function unmount(folder: string): Promise<void> {
  await run("umount", ["--lazy", folder]);
}
