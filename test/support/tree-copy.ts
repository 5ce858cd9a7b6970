/** A copy of the repository in which a page's instructions are followed. */

import { spawn } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, delimiter, join } from "node:path";
import { text } from "node:stream/consumers";

const root = join(import.meta.dirname, "..", "..");

/** What is not the repository's own. */
const leftOut = new Set(["node_modules", ".cache", ".git", "dist", "data", "coverage"]);

export interface TreeCopy extends AsyncDisposable {
  readonly path: string;
  /** Follows an instruction of a page. */
  apply(change: Change): Promise<void>;
  /** Runs a script of package.json or a program of node_modules, which must succeed. */
  run(command: string): Promise<void>;
  /** The same, where it must fail: what it says. */
  refusal(command: string): Promise<string>;
}

/** A block of a page that says what to write into a file. */
export interface Change {
  readonly path: string;
  readonly language: "diff" | "ts";
  readonly text: string;
}

export async function copyTree(): Promise<TreeCopy> {
  const path = await mkdtemp(join(tmpdir(), "headwater-page-"));
  await cp(root, path, { recursive: true, filter: (source) => source === root || !leftOut.has(basename(source)) });
  await symlink(join(root, "node_modules"), join(path, "node_modules"));
  const env = { ...process.env, PATH: `${join(root, "node_modules", ".bin")}${delimiter}${process.env["PATH"]}`, NO_COLOR: "1" };
  return {
    path,
    async apply(change) {
      const file = join(path, change.path);
      if (change.language === "ts") await writeFile(file, change.text);
      else await writeFile(file, patched(await readFile(file, "utf8"), change));
    },
    async run(command) {
      const { status, output } = await shell(command);
      if (status !== 0) throw new Error(`${command} failed:\n${output}`);
    },
    async refusal(command) {
      const { status, output } = await shell(command);
      if (status === 0) throw new Error(`${command} did not fail:\n${output}`);
      return output;
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };

  async function shell(command: string): Promise<{ readonly status: number | null; readonly output: string }> {
    const child = spawn(command, { cwd: path, env, shell: true, stdio: ["ignore", "pipe", "pipe"] });
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
    const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
    return { status: await ended, output: output + errors };
  }
}

/** The blocks of a section, each for the file that the text before it names last. */
export function changesIn(section: string): readonly Change[] {
  const blocks = section.matchAll(/```(?<language>diff|ts)\n(?<text>[\s\S]*?)```/g);
  return [...blocks].map((block) => {
    const named = [...section.slice(0, block.index).matchAll(/^(?:In|A new file,) `(?<path>[^`]+)`:$/gm)].at(-1)?.groups?.["path"];
    const { language, text: body } = block.groups ?? {};
    if (named === undefined) throw new Error(`no file is named for:\n${body}`);
    return { path: named, language: language === "ts" ? "ts" : "diff", text: body ?? "" };
  });
}

/** The part of a page below a heading of the second level. */
export function sectionOf(page: string, heading: string): string {
  const section = page.split(/^## /m).find((part) => part.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`the page has no section ${heading}`);
  return section;
}

/** What is kept and taken away must stand in the file exactly once, as it is shown. */
function patched(file: string, { path, text: diff }: Change): string {
  const lines = diff.trimEnd().split("\n");
  const side = (without: string) =>
    lines
      .filter((line) => !line.startsWith(without))
      .map((line) => line.slice(1))
      .join("\n");
  const [before, after] = [side("+"), side("-")];
  const parts = `\n${file}`.split(`\n${before}\n`);
  if (parts.length !== 2) throw new Error(`${path} has ${parts.length - 1} places that look like this:\n${before}`);
  return parts.join(`\n${after}\n`).slice(1);
}
