/** Chooses faults by a seed and lets them happen, sometimes one on top of another, sometimes with time to recover in between. */

import { setTimeout as delay } from "node:timers/promises";
import { copyFaults } from "./copy-faults.ts";
import { type Fault, processFaults, type Scene } from "./faults.ts";
import { operatorFaults } from "./operator-faults.ts";
import { createRandom, type Random } from "./random.ts";

/** A fault that happened. */
export interface Struck {
  readonly name: string;
  readonly text: string;
  /** By the wall clock, as the records of the log have it. */
  readonly atMs: number;
  /** A handler died, and nothing else happened for a while before and after. */
  readonly isMeasured: boolean;
}

export interface NemesisOptions {
  readonly seed: number;
  readonly faults: number;
  /** Between two faults, at most. */
  readonly paceMs: number;
  readonly scene: Scene;
  /** Only those whose name has this in it. */
  readonly only: string;
  readonly onStruck: (struck: Struck, count: number) => void;
}

export const faults: readonly Fault[] = [...processFaults, ...operatorFaults, ...copyFaults];

/** Never more than so many faults that last. */
const MAX_AT_ONCE = 3;

/** Of the handlers' deaths, so many are given the time to be measured. */
const MEASURED = 0.3;
const CALM_MS = { before: 5_000, after: 12_000 } as const;

export async function runNemesis({ seed, faults: wanted, paceMs, only, scene, onStruck }: NemesisOptions): Promise<readonly Struck[]> {
  const random = createRandom(seed);
  const struck: Struck[] = [];
  const lasting = new Set<Promise<void>>();
  while (struck.length + lasting.size < wanted) {
    const fault = choose(random, only);
    // The choices of a fault do not depend on what happened before it.
    const choices = createRandom(random.integer(0, 2 ** 31));
    const isMeasured = random.chance(MEASURED) && fault.name === "kill command-handler";
    if (isMeasured) {
      await Promise.all(lasting);
      await delay(CALM_MS.before);
    }
    const atMs = Date.now();
    const { text, over } = fault.begin(scene, choices);
    const happening: Promise<void> = over
      .then((hasHappened) => {
        if (hasHappened) note({ name: fault.name, text, atMs, isMeasured });
      })
      .finally(() => lasting.delete(happening));
    lasting.add(happening);
    await delay(isMeasured ? CALM_MS.after : random.next() * paceMs);
    if (random.chance(0.1)) await Promise.all(lasting);
    while (lasting.size >= MAX_AT_ONCE) await Promise.race(lasting);
    if (struck.length + lasting.size >= wanted) await Promise.all(lasting);
  }
  return struck;

  function note(each: Struck): void {
    struck.push(each);
    onStruck(each, struck.length);
  }
}

function choose(random: Random, only: string): Fault {
  const among = faults.filter(({ name }) => name.includes(only));
  let left = random.next() * among.reduce((sum, { weight }) => sum + weight, 0);
  const found = among.find(({ weight }) => {
    left -= weight;
    return left < 0;
  });
  return found ?? random.pick(among);
}
