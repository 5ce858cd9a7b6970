import type { Command, CommandFamily, CommandTable } from "./command.ts";

/** A command with what follows its name; or what to say instead. */
export type Found =
  | { readonly command: Command; readonly args: readonly string[] }
  | { readonly help: string; readonly wrong: string | undefined };

/** Follows the words to a command. Flags and what is behind them are the command's. */
export async function findCommand(words: readonly string[], { help, commands }: CommandFamily): Promise<Found> {
  const [name = "", ...rest] = words;
  const found = await load(commands, name);
  if (found === undefined) {
    const isHelp = name === "" || name === "help" || name === "--help" || name === "-h";
    return { help, wrong: isHelp ? undefined : `there is no command "${name}"` };
  }
  return "run" in found ? { command: found, args: rest } : findCommand(rest, found);
}

async function load(commands: CommandTable, name: string): Promise<Command | CommandFamily | undefined> {
  return Object.hasOwn(commands, name) ? commands[name]?.() : undefined;
}
