#!/usr/bin/env node
import { parseArgs } from "node:util";
import { headwater } from "./commands.ts";
import { findCommand } from "./find-command.ts";
import { print, printError } from "./printable.ts";

const found = await findCommand(process.argv.slice(2), headwater);

if ("help" in found) {
  if (found.wrong !== undefined) printError(`headwater: ${found.wrong}\n\n`);
  (found.wrong === undefined ? process.stdout : process.stderr).write(found.help);
  process.exitCode = found.wrong === undefined ? 0 : 2;
} else if (asksForHelp(found.args)) {
  print(found.command.help);
} else {
  process.exitCode = await found.command.run(found.args);
}

function asksForHelp(args: readonly string[]): boolean {
  return parseArgs({ args: [...args], strict: false, options: { help: { type: "boolean", short: "h" } } }).values["help"] === true;
}
