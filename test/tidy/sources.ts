import { globSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";

/** A file of the repository, by its path from the root with forward slashes. */
export interface Source {
  readonly path: string;
  readonly text: string;
}

export const root = join(import.meta.dirname, "..", "..");

/** The project's own files that match, without generated ones. Those of test/tidy are left out: they contain planted faults. */
export function sourcesOf(pattern: string): readonly Source[] {
  const foreign = new Set(["node_modules", ".git", ".cache", "dist", "data", "gen", "tidy", "coverage"]);
  return globSync(pattern, { cwd: root, exclude: (entry) => foreign.has(entry.split(sep).at(-1) ?? "") })
    .map((path) => path.split(sep).join("/"))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

/** Where a pattern occurs: `path:line`. The pattern needs no flags. */
export function occurrences({ path, text }: Source, pattern: RegExp): readonly string[] {
  return text.split("\n").flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}`] : []));
}
