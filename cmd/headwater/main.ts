#!/usr/bin/env node
import { parseArgs } from "node:util";

const help = `headwater: CQRS on Apache Kafka as gRPC services

Usage: headwater <command> [options]

Commands:
  dev      run everything in this process, on an embedded log and document store
  import   send the orders of a CSV file through the public API
  health   ask a process whether it is serving

headwater <command> --help tells more.
`;

interface Command {
  readonly run: (args: readonly string[]) => Promise<number>;
  readonly help: string;
}

/** Loaded when they are asked for: a health check every few seconds must not load a whole system. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  dev: () => import("./dev.ts").then(({ dev, devHelp }) => ({ run: dev, help: devHelp })),
  import: () => import("./import/import.ts").then(({ importOrders, importHelp }) => ({ run: importOrders, help: importHelp })),
  health: () => import("./health.ts").then(({ health, healthHelp }) => ({ run: health, help: healthHelp })),
};

const [name = "", ...args] = process.argv.slice(2);
const command = Object.hasOwn(commands, name) ? await commands[name]?.() : undefined;

if (command === undefined) {
  const wanted = name === "" || name === "help" || name === "--help" || name === "-h";
  if (!wanted) process.stderr.write(`headwater: there is no command "${name}"\n\n`);
  (wanted ? process.stdout : process.stderr).write(help);
  process.exitCode = wanted ? 0 : 2;
} else if (parseArgs({ args, strict: false, options: { help: { type: "boolean", short: "h" } } }).values["help"] === true) {
  process.stdout.write(command.help);
} else {
  process.exitCode = await command.run(args);
}
