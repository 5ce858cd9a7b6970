import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { root, type Source, sourcesOf } from "./sources.ts";

it("every link in a document leads somewhere", () => {
  const documents = sourcesOf("**/*.md");
  expect(documents.map(({ path }) => path)).toContain("ARCHITECTURE.md");
  expect(documents.flatMap(brokenLinks)).toEqual([]);
  const text = "# A page\n[itself](#a-page) [style](../STYLE.md#tests) [far](https://example.com) [none](none.md) [part](#no-such-part)";
  expect(brokenLinks({ path: "docs/a.md", text })).toEqual(["docs/a.md: none.md", "docs/a.md: #no-such-part"]);
});

it("every file or folder that a document names exists", () => {
  expect(sourcesOf("**/*.md").flatMap(missingPaths)).toEqual([]);
  const text = "`internal/cqrs/log.ts` `internal/log/*` `cmd/X` `npm test` `internal/cqrs/none.ts`\nA new file, `internal/cqrs/new.ts`:";
  expect(missingPaths({ path: "a.md", text })).toEqual(["a.md: internal/cqrs/none.ts"]);
});

it("every export of the runtime and of the SDK has a doc comment", () => {
  const sources = sourcesOf("{internal/cqrs,sdk/src}/**/*.ts").filter(({ path }) => !/\.test\.ts$|^sdk\/src\/testing\//.test(path));
  expect(sources.length).toBeGreaterThan(10);
  expect(sources.flatMap(undocumentedExports)).toEqual([]);
  const text =
    "/** Does it. */\nexport function documented(): void {}\n\n// Not a doc comment.\nexport async function bare() {}\nexport { it } from './it.ts';";
  expect(undocumentedExports({ path: "a.ts", text })).toEqual(["a.ts: bare"]);
});

function brokenLinks({ path, text }: Source): readonly string[] {
  const links = [...text.matchAll(/\]\((?<target>[^)\s]+)\)/g)].flatMap((match) => match.groups?.["target"] ?? []);
  return links.filter((link) => !/^[a-z]+:/.test(link) && !leadsSomewhere(path, link, text)).map((link) => `${path}: ${link}`);
}

function leadsSomewhere(path: string, link: string, text: string): boolean {
  const [file = "", anchor] = link.split("#");
  if (file !== "") return existsSync(join(root, dirname(path), file));
  return anchor === undefined || headingsOf(text).includes(anchor);
}

function headingsOf(text: string): readonly string[] {
  const slug = (heading: string) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-");
  return [...text.matchAll(/^#+ +(?<heading>.*)$/gm)].map((match) => slug(match.groups?.["heading"] ?? ""));
}

/** Paths in backticks that begin at the root. A capital letter or a star stands for something, as in `cmd/X`; a reader makes a new file himself. */
function missingPaths({ path, text }: Source): readonly string[] {
  const named = [
    ...text
      .replaceAll(/^A new file, `.*`:$/gm, "")
      .matchAll(/`(?<named>(?:internal|cmd|docs|proto|test|sdk|examples|bench|deploy|web)\/[^`\s]*)`/g),
  ];
  return named
    .flatMap((match) => match.groups?.["named"] ?? [])
    .filter((name) => !/[*{<…]|\/[A-Z]$/.test(name) && !existsSync(join(root, name)))
    .map((name) => `${path}: ${name}`);
}

function undocumentedExports({ path, text }: Source): readonly string[] {
  const lines = text.split("\n");
  const declaration = /^export (?:declare |abstract |async )*(?:function\*?|const|class|interface|type) (?<name>\w+)/;
  return lines.flatMap((line, index) => {
    const name = declaration.exec(line)?.groups?.["name"];
    const before = lines[index - 1] ?? "";
    const isOverload = name !== undefined && declaration.exec(before)?.groups?.["name"] === name;
    return name === undefined || isOverload || before.endsWith("*/") ? [] : [`${path}: ${name}`];
  });
}
