/** Runs a program within a limit of memory, as a container would: in a memory cgroup where one can be made, otherwise under a watchdog. */

import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface MemoryLimit extends Disposable {
  /** How the limit is held: by the kernel, or by us. */
  readonly kind: "cgroup" | "watchdog";
  /** The command that runs another one within the limit. */
  wrap(command: readonly string[]): readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Looks at a process that runs within the limit; a watchdog ends it where it is over. */
  look(pid: number): void;
  /** The largest resident memory that a look has seen, in bytes. */
  readonly peakBytes: number;
}

const MIB = 1024 * 1024;

/** What Node takes of a container's memory for its heap by itself, about. */
const HEAP_SHARE = 0.5;

/** The mounts of the two versions, what their files are called, and one that tells that it is mounted. */
const versions = [
  { root: "/sys/fs/cgroup", mounted: "cgroup.controllers", limit: "memory.max" },
  { root: "/sys/fs/cgroup/memory", mounted: "cgroup.procs", limit: "memory.limit_in_bytes" },
];

let count = 0;

export function limitMemory(bytes: number): MemoryLimit {
  count += 1;
  const group = makeGroup(`headwater-${process.pid}-${count}`, bytes);
  let peakBytes = 0;
  return {
    kind: group === undefined ? "watchdog" : "cgroup",
    wrap: (command) => (group === undefined ? command : ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', group, ...command]),
    environment: group === undefined ? { NODE_OPTIONS: `--max-old-space-size=${Math.round((bytes * HEAP_SHARE) / MIB)}` } : {},
    look(pid) {
      const resident = residentBytes(pid);
      peakBytes = Math.max(peakBytes, resident);
      if (group === undefined && resident > bytes) process.kill(pid, "SIGKILL");
    },
    get peakBytes() {
      return peakBytes;
    },
    [Symbol.dispose]() {
      if (group !== undefined) rmdirSync(group);
    },
  };
}

/** undefined: this machine does not let us. */
function makeGroup(name: string, bytes: number): string | undefined {
  for (const { root, limit } of versions.filter((version) => existsSync(join(version.root, version.mounted)))) {
    const folder = join(root, name);
    try {
      mkdirSync(folder);
    } catch {
      continue;
    }
    try {
      writeFileSync(join(folder, limit), String(bytes));
      return folder;
    } catch {
      rmdirSync(folder);
    }
  }
  return undefined;
}

/** Its peak as the kernel has it. */
function residentBytes(pid: number): number {
  try {
    const [, kib = "0"] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return Number(kib) * 1024;
  } catch {
    return 0;
  }
}
