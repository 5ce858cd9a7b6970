/** All processes of a system, each under its supervisor. */

import type { Servers } from "../support/processes.ts";
import { type Ending, type Supervised, type SupervisedName, type SupervisedProcess, supervise } from "./supervise.ts";

/** How many of each there are. */
const counts = { "command-service": 2, "command-handler": 3, projector: 2, "query-service": 2 } as const satisfies Record<
  SupervisedName,
  number
>;

export interface ChaosSystem extends AsyncDisposable {
  readonly processes: readonly SupervisedProcess[];
  named(name: SupervisedName): readonly SupervisedProcess[];
  /** Those that ended by themselves. */
  readonly endings: readonly Ending[];
  /** Starts those of a kind that are to be there and are not, or so many more. Returns those that it started. */
  start(name: SupervisedName, more?: number): Promise<readonly Supervised[]>;
  /** Ends all of a kind, and leaves them ended until the returned function is called. */
  hold(name: SupervisedName): Promise<() => void>;
  /** Ends some, or all of a kind, for good. */
  retire(which: SupervisedName | readonly SupervisedProcess[]): Promise<void>;
}

export interface ChaosSystemOptions extends Servers {
  /** Keeps what the processes keep on their own disks. One system after another may have it: its processes find what was left. */
  readonly folder: string;
  /** A planted fault, see `plant.ts`. */
  readonly fault?: string;
  readonly counts?: Partial<Record<SupervisedName, number>>;
}

/** A system of which nothing runs yet. */
export function createSystem({ counts: wanted = {}, ...options }: ChaosSystemOptions): ChaosSystem {
  const endings: Ending[] = [];
  const processes: Supervised[] = [];
  const named = (name: SupervisedName) => processes.filter((process) => process.name === name);
  return {
    processes,
    endings,
    named,
    async start(name, more) {
      const first = named(name).length;
      const many = more ?? Math.max(0, (wanted[name] ?? counts[name]) - first);
      const instances = Array.from({ length: many }, (_, index) => `${name}-${first + index}`);
      const onEnded = (ending: Ending): void => void endings.push(ending);
      const settled = await Promise.allSettled(instances.map((instance) => supervise({ ...options, name, instance, onEnded })));
      const started = settled.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
      processes.push(...started);
      for (const each of settled) if (each.status === "rejected") throw each.reason;
      return started;
    },
    async hold(name) {
      const releases = await Promise.all(named(name).map((process) => process.hold()));
      return () => {
        for (const release of releases) release();
      };
    },
    retire,
    [Symbol.asyncDispose]: () => retire(processes),
  };

  async function retire(which: SupervisedName | readonly SupervisedProcess[]): Promise<void> {
    const retired = processes.filter((process) => (typeof which === "string" ? process.name === which : which.includes(process)));
    for (const process of retired) processes.splice(processes.indexOf(process), 1);
    await Promise.all(retired.map((process) => process.retire()));
  }
}

/** Starts every process. */
export async function startSystem(options: ChaosSystemOptions): Promise<ChaosSystem> {
  const system = createSystem(options);
  try {
    // All at once: each says that it serves or works as soon as it can, whichever of the others is there by then.
    await Promise.all((["projector", "command-handler", "command-service", "query-service"] as const).map((name) => system.start(name)));
    return system;
  } catch (error) {
    await system[Symbol.asyncDispose]();
    throw error;
  }
}
