import { createInterface } from "node:readline/promises";
import { ConfigError, flag, flagOnly } from "../../internal/platform/config.ts";
import { printable } from "./printable.ts";

/** For scripts. */
export const yesOption = { yes: flagOnly(flag("do not ask")) };

/** Asks before something that cannot be taken back. @throws {ConfigError} there is nobody to ask */
export async function confirm(question: string, { yes }: { readonly yes: boolean }): Promise<boolean> {
  if (yes) return true;
  if (!process.stdin.isTTY) throw new ConfigError(`${question} Say so with --yes: there is no terminal to ask at`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${printable(question)} [y/N] `)).trim());
  } finally {
    terminal.close();
  }
}
