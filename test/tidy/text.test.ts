import { expect, it } from "vitest";
import { occurrences, type Source, sourcesOf } from "./sources.ts";

/** Longer than a reader holds in mind. A file above it needs a reason here: path → why. */
const maxLines = 400;
const longFiles: ReadonlyMap<string, string> = new Map();

const leftovers = /\b(FIXME|TODO|XXX)\b/;
/** A test waits for a condition with a deadline, through a helper that is no test. */
const sleep = /\bsetTimeout\b|\btimers\/promises\b|\bsleep\(/;
const focused = /\b(it|test|describe)\.(only|todo|skip)\(/;
const wish = /\b(it|test|describe)(\.\w+(\(.*?\))?)?\(\s*["'`].*\bshould\b/;

const sources = sourcesOf("{cmd,internal,sdk,examples,test,bench,.ci}/**/*.ts");
const tests = sources.filter(({ path }) => path.endsWith(".test.ts"));
const texts = [
  ...sources,
  ...sourcesOf("{proto/headwater,docs,web,deploy}/**/*.{proto,md,ts,js,html,yaml,yml}"),
  ...sourcesOf("*.{md,yaml,ts}"),
];

it("there is something to check", () => {
  expect(sources.length).toBeGreaterThan(10);
  expect(tests.length).toBeGreaterThan(2);
  expect(texts.length).toBeGreaterThan(sources.length + 5);
});

it("no file is over 400 lines", () => {
  expect(sources.flatMap(tooLong)).toEqual([]);
  expect(tooLong({ path: "a.ts", text: "\n".repeat(maxLines) })).toEqual([]);
  expect(tooLong({ path: "a.ts", text: "\n".repeat(maxLines + 1) })).toEqual(["a.ts: 401 lines"]);
  expect([...longFiles.keys()].filter((path) => !sources.some((source) => source.path === path))).toEqual([]);
});

it.each([
  ["leftovers", texts, leftovers, "// TODO: later"],
  ["sleeps", tests, sleep, "await new Promise((resolve) => setTimeout(resolve, 100));"],
  ["focused or skipped tests", tests, focused, 'it.only("an order is placed once", () => {'],
  ["titles that wish", tests, wish, 'it("should place an order", () => {'],
])("there are no %s", (_, files, pattern, planted) => {
  expect(files.flatMap((file) => occurrences(file, pattern))).toEqual([]);
  expect(occurrences({ path: "a.test.ts", text: planted }, pattern)).toEqual(["a.test.ts:1"]);
});

it("no time is rounded to a millisecond, which would move it into the future", () => {
  const rounding = /import \{[^}]*\b(timestampMs|timestampDate)\b[^}]*\} from "@bufbuild\/protobuf\/wkt"/;
  expect(sources.filter(({ text }) => rounding.test(text)).map(({ path }) => path)).toEqual([]);
  expect('import {\n  timestampMs,\n} from "@bufbuild/protobuf/wkt";').toMatch(rounding);
});

function tooLong({ path, text }: Source): readonly string[] {
  const lines = text.split("\n").length - 1;
  return lines > maxLines && !longFiles.has(path) ? [`${path}: ${lines} lines`] : [];
}
