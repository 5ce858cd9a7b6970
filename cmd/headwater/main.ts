#!/usr/bin/env node
import { parseArgs } from "node:util";
import { dev, devHelp } from "./dev.ts";
import { importHelp, importOrders } from "./import/import.ts";

const help = `headwater: CQRS on Apache Kafka as gRPC services

Usage: headwater <command> [options]

Commands:
  dev      run everything in this process, on an embedded log and document store
  import   send the orders of a CSV file through the public API

headwater <command> --help tells more.
`;

const commands: Readonly<Record<string, { readonly run: (args: readonly string[]) => Promise<number>; readonly help: string }>> = {
  dev: { run: dev, help: devHelp },
  import: { run: importOrders, help: importHelp },
};

const [name = "", ...args] = process.argv.slice(2);
const command = Object.hasOwn(commands, name) ? commands[name] : undefined;

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
