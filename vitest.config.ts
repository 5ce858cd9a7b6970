import { defineConfig } from "vitest/config";

/** Many files wait for a server most of their time. With the default, two cores would have one worker, after everything else. */
const WORKERS = 3;

export default defineConfig({
  test: {
    maxWorkers: WORKERS,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // A condition is waited for as long as a busy machine may take; the default of a second is a time limit in disguise.
    expect: { poll: { timeout: 30_000 } },
    reporters: ["default", "./test/support/skipped-reporter.ts"],
    projects: [
      {
        extends: true,
        test: { name: "unit", include: ["{internal,cmd,sdk}/**/*.test.ts", "test/{contract,golden,support}/**/*.test.ts"] },
      },
      { extends: true, test: { name: "tidy", include: ["test/tidy/**/*.test.ts"] } },
      // Whole systems with timing of their own: one at a time, after everything else.
      {
        extends: true,
        test: { name: "e2e", include: ["{test/e2e,examples}/**/*.test.ts"], fileParallelism: false, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
