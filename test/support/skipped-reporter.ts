import type { Reporter, TestModule } from "vitest/node";

/** Names at the end of a run the files whose tests were skipped, and how to run them. */
export default class SkippedReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const skipped = modules.flatMap((module) => {
      const count = [...module.children.allTests("skipped")].length;
      return count === 0 ? [] : [`  ${module.relativeModuleId}: ${count}`];
    });
    if (skipped.length === 0) return;
    console.log(`Skipped tests, by file. \`npm run tools\` (needs Go) installs the programs they call:\n${skipped.join("\n")}\n`);
  }
}
