#!/usr/bin/env node
import { parseArgs } from "node:util";
import type { CommandFamily } from "./command.ts";
import { findCommand } from "./find-command.ts";

/** Loaded when they are asked for: a health check every few seconds must not load a whole system. */
const headwater: CommandFamily = {
  help: `headwater: CQRS on Apache Kafka as gRPC services

Usage: headwater <command> [options]

Commands:
  dev      run everything in this process, on an embedded log and document store
  import   send the orders of a CSV file through the public API
  health   ask a process whether it is serving

Commands for operators, on a system in either form, while it runs or stands:
  topics   the topics of the log, and what is in them

headwater <command> --help tells more.
`,
  commands: {
    dev: () => import("./dev.ts").then(({ dev, devHelp }) => ({ run: dev, help: devHelp })),
    import: () => import("./import/import.ts").then(({ importOrders, importHelp }) => ({ run: importOrders, help: importHelp })),
    health: () => import("./health.ts").then(({ health, healthHelp }) => ({ run: health, help: healthHelp })),
    topics: () => import("./topics.ts").then(({ topics }) => topics),
  },
};

const found = await findCommand(process.argv.slice(2), headwater);

if ("help" in found) {
  if (found.wrong !== undefined) process.stderr.write(`headwater: ${found.wrong}\n\n`);
  (found.wrong === undefined ? process.stdout : process.stderr).write(found.help);
  process.exitCode = found.wrong === undefined ? 0 : 2;
} else if (asksForHelp(found.args)) {
  process.stdout.write(found.command.help);
} else {
  process.exitCode = await found.command.run(found.args);
}

function asksForHelp(args: readonly string[]): boolean {
  return parseArgs({ args: [...args], strict: false, options: { help: { type: "boolean", short: "h" } } }).values["help"] === true;
}
