import { join } from "node:path";
import { defineConfig } from "vitest/config";

/** Many files wait for a server most of their time. With the default, two cores would have one worker, after everything else. */
const WORKERS = 3;

/** Whole systems that take both cores, or whose figures are compared with bounds. */
const alone = ["capacity", "chaos", "linearizability", "processes/outages"].map((name) => `test/e2e/${name}.test.ts`);

export default defineConfig({
  test: {
    maxWorkers: WORKERS,
    // Only for what hangs: on a busy machine a broker alone may need more than a minute to start.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    // Most tests of whole systems start many processes of the same code: what is compiled once is not compiled again.
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, ".cache", "compiled") },
    // A condition is waited for as long as a busy machine may take; the default of a second is a time limit in disguise.
    expect: { poll: { timeout: 30_000 } },
    reporters: ["default", "./test/support/skipped-reporter.ts"],
    projects: [
      {
        extends: true,
        test: { name: "unit", include: ["{internal,cmd,sdk}/**/*.test.ts", "test/{contract,golden,support}/**/*.test.ts"] },
      },
      { extends: true, test: { name: "tidy", include: ["test/tidy/**/*.test.ts"] } },
      // Whole systems, after everything else: each has processes enough for a core.
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["{test/e2e,examples}/**/*.test.ts"],
          exclude: alone,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      { extends: true, test: { name: "alone", include: alone, fileParallelism: false, sequence: { groupOrder: 2 } } },
    ],
  },
});
