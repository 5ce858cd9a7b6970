import { expect, it } from "vitest";
import type { CommandFamily } from "./command.ts";
import { headwater } from "./commands.ts";
import { findCommand } from "./find-command.ts";

it("every command is listed with its family, and has help that names it and its options", async () => {
  const problems = await problemsOf("headwater", headwater);
  expect(problems).toEqual([]);
});

it("a command that is not there is named, and the help of its family is shown", async () => {
  expect(await findCommand(["nonsense"], headwater)).toEqual({ help: headwater.help, wrong: 'there is no command "nonsense"' });
  expect(await findCommand(["log", "constructor"], headwater)).toMatchObject({
    help: expect.stringContaining("headwater log"),
    wrong: 'there is no command "constructor"',
  });
  expect(await findCommand(["log", "--help"], headwater)).toMatchObject({
    help: expect.stringContaining("headwater log"),
    wrong: undefined,
  });
});

async function problemsOf(path: string, family: CommandFamily): Promise<readonly string[]> {
  const problems = await Promise.all(
    Object.entries(family.commands).map(async ([name, load]) => {
      const found = await load();
      const words = `${path} ${name}`;
      const own = [
        ...(new RegExp(`^ {2}${name} +\\S`, "m").test(family.help) ? [] : [`${path} does not list ${name}`]),
        ...(found.help.startsWith(`${words}: `) ? [] : [`the help of ${words} does not say what it is`]),
        ...(found.help.includes(`Usage: ${words} `) ? [] : [`the help of ${words} does not say how it is called`]),
      ];
      return "commands" in found ? [...own, ...(await problemsOf(words, found))] : own;
    }),
  );
  return problems.flat();
}
