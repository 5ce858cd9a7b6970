/** A file system of a few megabytes, for a disk that is full. Only root may mount one. */

import { execFile } from "node:child_process";
import { mkdtemp, rm, statfs, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Whether this user can mount one. */
export const canMount = await isMountable();

export interface SmallDisk extends AsyncDisposable {
  readonly path: string;
  /** Leaves no room on it. */
  fill(): Promise<void>;
  /** Makes room again. */
  free(): Promise<void>;
}

export async function mountSmallDisk(megabytes: number): Promise<SmallDisk> {
  const path = await mkdtemp(join(tmpdir(), "headwater-disk-"));
  await run("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", path]);
  const filler = join(path, "filler");
  return {
    path,
    async fill() {
      const { bavail, bsize } = await statfs(path);
      await writeFile(filler, Buffer.alloc(bavail * bsize));
    },
    free: () => truncate(filler),
    async [Symbol.asyncDispose]() {
      await run("umount", ["--lazy", path]);
      await rm(path, { recursive: true, force: true });
    },
  };
}

async function isMountable(): Promise<boolean> {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false;
  try {
    await using _disk = await mountSmallDisk(1);
    return true;
  } catch {
    // A container may be root and not allowed to.
    return false;
  }
}
