import { posix } from "node:path";
import { expect, it } from "vitest";
import { occurrences, type Source, sourcesOf } from "./sources.ts";

/** The table of ARCHITECTURE.md. The longest folder that holds a file is its row; every file may import its own row's folder. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  "internal/gen": ["@bufbuild/protobuf"],
  "internal/cqrs": ["internal/gen/headwater/cqrs", "@bufbuild/protobuf"],
  "internal/orders": ["internal/cqrs", "internal/gen"],
  "internal/orders/domain": ["internal/cqrs", "internal/gen", "@bufbuild/protobuf"],
  "internal/orders/projection": [
    "internal/orders/query",
    "internal/orders/order-events.ts",
    "internal/cqrs",
    "internal/gen",
    "@bufbuild/protobuf",
  ],
  "internal/orders/query": [
    "internal/orders/projection",
    "internal/orders/order-events.ts",
    "internal/cqrs",
    "internal/gen",
    "@bufbuild/protobuf",
  ],
  "internal/tickets": ["internal/cqrs", "internal/gen", "@bufbuild/protobuf"],
  "internal/domains.ts": ["internal/cqrs", "internal/orders", "internal/tickets"],
  "internal/log/*": ["internal/cqrs", "internal/gen", "internal/platform", "npm", "node:"],
  "internal/documents/*": ["internal/cqrs", "internal/gen", "internal/platform", "npm", "node:"],
  "internal/grpc": ["internal/cqrs", "internal/gen", "internal/platform", "npm", "node:"],
  "internal/serving": [
    "internal/cqrs",
    "internal/gen/headwater/cqrs",
    "internal/gen/google",
    "internal/grpc",
    "internal/platform",
    "npm",
    "node:",
  ],
  "internal/process": ["internal/cqrs", "internal/log", "internal/documents", "internal/grpc", "internal/platform", "npm", "node:"],
  "internal/platform": ["npm", "node:"],
  "cmd/*": ["internal", "sdk", "npm", "node:"],
  "cmd/headwater": ["cmd", "internal", "sdk", "npm", "node:"],
  sdk: ["@bufbuild/", "@connectrpc/"],
  "sdk/src/node.ts": ["sdk", "@bufbuild/", "@connectrpc/", "node:"],
  examples: ["sdk", "@headwater/sdk", "node:"],
  "examples/plain-grpc": ["@grpc/grpc-js", "node:"],
};

/** What the parts of the runtime do not know of each other; "" stands for the files that lie in its folder itself. */
const apart: Readonly<Record<string, readonly string[]>> = {
  "": ["command", "event", "projector", "query"],
  event: ["command", "projector", "query"],
  command: ["projector", "query"],
  projector: ["command", "query"],
  query: ["command"],
};

/** What the tests beside the code, and the suites in `testing`, may import too: never another business or process. */
const testsMayImport = [
  "internal/cqrs",
  "internal/gen",
  "internal/log",
  "internal/documents",
  "internal/platform",
  "test/support",
  "npm",
  "node:",
];

/** The runtime and the business are given time and chance. */
const ownClockOrChance =
  /\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(|\bMath\.random\(|\brandomUUID\(|\bset(Timeout|Interval|Immediate)\(/;

it("every import follows the table in ARCHITECTURE.md", () => {
  const sources = sourcesOf("{internal,cmd,sdk,examples}/**/*.ts");
  expect(sources.length).toBeGreaterThan(10);
  expect(sources.flatMap(forbiddenImports)).toEqual([]);
});

it.each([
  ["internal/cqrs/projector/projector.ts", 'import { MongoClient } from "mongodb";'],
  ["internal/cqrs/projector/projector.ts", 'import { order } from "../../orders/domain/order.ts";'],
  ["internal/orders/domain/order.ts", 'import type { Order } from "../projection/order.ts";'],
  ["internal/orders/query/get-order.ts", 'export { decide } from "../domain/order.ts";'],
  ["internal/documents/mongo/documents.ts", 'const log = await import("../../log/kafka/log.ts");'],
  ["internal/platform/worker.ts", 'new Worker(new URL("../log/embedded/worker.ts", import.meta.url));'],
  ["internal/cqrs/query/token.test.ts", 'import { order } from "../../orders/domain/order.ts";'],
  ["cmd/projector/app.ts", 'import { startQueryService } from "../query-service/app.ts";'],
  ["sdk/src/client.ts", 'import "../../internal/cqrs/query/token.ts";'],
  ["examples/place-order.ts", 'import {\n  token,\n} from "../internal/cqrs/query/token.ts";'],
  ["elsewhere/tool.ts", 'import "node:fs";'],
])("%s may not contain %s", (path, text) => {
  expect(forbiddenImports({ path, text })).toHaveLength(1);
});

it("the runtime and the business have no clock and no randomness of their own", () => {
  const sources = sourcesOf("internal/{cqrs,orders}/**/*.ts").filter(({ path }) => !isTest(path));
  expect(sources.flatMap((source) => occurrences(source, ownClockOrChance))).toEqual([]);
  expect(occurrences({ path: "internal/cqrs/a.ts", text: "const now = () =>\n  Date.now();" }, ownClockOrChance)).toHaveLength(1);
});

it("the two sides of the runtime do not know each other, and what they share knows neither", () => {
  const sources = sourcesOf("internal/cqrs/**/*.ts").filter(({ path }) => !isTest(path));
  expect(sources.flatMap(importsOfOthers)).toEqual([]);
  const planted = { path: "internal/cqrs/command/slices.ts", text: 'import { Freshness } from "../query/freshness.ts";' };
  expect(importsOfOthers(planted)).toHaveLength(1);
  expect(importsOfOthers({ ...planted, path: "internal/cqrs/log.ts", text: 'import "./event/event-headers.ts";' })).toHaveLength(1);
});

function importsOfOthers({ path, text }: Source): readonly string[] {
  const [, , part = "", file] = path.split("/");
  // A domain is one value for both sides, so its type names the types of both.
  if (path === "internal/cqrs/domain.ts") return [];
  const others = apart[file === undefined ? "" : part] ?? [];
  return specifiersIn(text)
    .map((specifier) => targetOf(path, specifier))
    .filter((target) => others.some((other) => isWithin(target, `internal/cqrs/${other}`)))
    .map((target) => `${path} imports ${target}`);
}

function forbiddenImports({ path, text }: Source): readonly string[] {
  const row = rowOf(path);
  if (row === undefined) return [`${path} stands in no row of the table`];
  const allowed = [folderOf(row, path), ...(mayImport[row] ?? []), ...(isTest(path) ? testsMayImport : [])];
  return specifiersIn(text)
    .map((specifier) => targetOf(path, specifier))
    .filter((target) => !allowed.some((entry) => isWithin(target, entry)))
    .map((target) => `${path} imports ${target}`);
}

function rowOf(path: string): string | undefined {
  const rows = Object.keys(mayImport).filter((row) => path.startsWith(row.replace("*", "")) && isWithin(path, folderOf(row, path)));
  return rows.sort((left, right) => Number(left.endsWith("*")) - Number(right.endsWith("*")) || right.length - left.length)[0];
}

/** The folder that a row means for a file: `internal/log/*` is `internal/log/embedded` for a file in there. */
function folderOf(row: string, path: string): string {
  return row.endsWith("*") ? path.split("/").slice(0, row.split("/").length).join("/") : row;
}

function specifiersIn(text: string): readonly string[] {
  const pattern = /(?:\bfrom|\bimport|\bimport\(|\bnew URL\()\s*"(?<specifier>[^"]+)"/g;
  return [...text.matchAll(pattern)].flatMap((match) => match.groups?.["specifier"] ?? []);
}

function targetOf(path: string, specifier: string): string {
  return specifier.startsWith(".") ? posix.join(posix.dirname(path), specifier) : specifier;
}

function isWithin(target: string, entry: string): boolean {
  const isPackage = !/^(node:|internal\/|cmd\/|sdk\/|examples\/|test\/|\.\.)/.test(target);
  if (entry === "npm") return isPackage;
  return target === entry || target.startsWith(entry.endsWith("/") || entry.endsWith(":") ? entry : `${entry}/`);
}

function isTest(path: string): boolean {
  return path.endsWith(".test.ts") || path.includes("/testing/");
}
