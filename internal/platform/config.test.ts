import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { ConfigError, describeOptions, flag, flagOnly, integer, list, oneOf, parseCommandLine, parseConfig, port, text } from "./config.ts";

const options = {
  host: text("address to listen on", "127.0.0.1"),
  "command-port": port("port of the command service", 50_051),
  brokers: list("brokers", "a:1"),
  copies: integer("copies", -1, 3, -1),
  level: oneOf("how much", ["low", "high"], "low"),
  tls: flag("encrypt"),
};

function parse(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  return parseConfig(options, { args, environment, shared: { ...options, other: text("read by another process", "") } });
}

async function fileWith(content: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "headwater-config-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, "headwater.env");
  await writeFile(path, content);
  return path;
}

it("without anything, the defaults hold", () => {
  expect(parse([])).toEqual({ host: "127.0.0.1", "command-port": 50_051, brokers: ["a:1"], copies: -1, level: "low", tls: false });
});

it("a flag goes before the environment, the environment before the file, and the file before the default", async () => {
  const file = await fileWith("HEADWATER_HOST=file\nHEADWATER_COPIES=1 # as many as brokers\nHEADWATER_LEVEL=high\nHEADWATER_OTHER=x\n");
  const environment = { HEADWATER_CONFIG: file, HEADWATER_HOST: "environment", HEADWATER_COPIES: "2", HEADWATER_TLS: "true" };
  expect(parse(["--host", "flag"], environment)).toMatchObject({
    host: "flag",
    copies: 2,
    level: "high",
    tls: true,
    "command-port": 50_051,
  });
  expect(parse(["--config", file])).toMatchObject({ host: "file", copies: 1, tls: false });
});

it("a list is separated by commas", () => {
  expect(parse(["--brokers", "a:1, b:2"]).brokers).toEqual(["a:1", "b:2"]);
});

for (const [args, message] of [
  [["--command-port", "x"], '--command-port (HEADWATER_COMMAND_PORT) must be a whole number from 0 to 65535, not "x"'],
  [["--command-port", "65536"], "65535"],
  [["--copies", "-2"], "--copies"],
  [["--copies", "1.5"], "--copies"],
  [["--level", "loud"], "must be one of low, high"],
  [["--brokers", "a:1,,b:2"], "single commas"],
  [["--host", ""], "--host (HEADWATER_HOST) must not be empty"],
  [["--no-such-flag"], "--no-such-flag"],
  [["extra"], "extra"],
  [["--config", "/nowhere.env"], "--config (HEADWATER_CONFIG): ENOENT"],
] as const) {
  it(`${args.join(" ")} is refused with the key and what it takes`, () => {
    expect(() => parse(args)).toThrow(ConfigError);
    expect(() => parse(args)).toThrow(message);
  });
}

it("a wrong value in the environment is refused too", () => {
  expect(() => parse([], { HEADWATER_TLS: "yes" })).toThrow("--tls (HEADWATER_TLS) must be one of true, false");
});

it("a file that sets what no process reads is refused: it is a slip of the pen", async () => {
  const file = await fileWith("HEADWATER_HOSTS=x\n");
  expect(() => parse(["--config", file])).toThrow("sets HEADWATER_HOSTS, which no process reads");
});

it("what must be set is asked for", () => {
  const source = { args: [], environment: {}, shared: {} };
  expect(() => parseConfig({ name: text("who you are") }, source)).toThrow("--name (HEADWATER_NAME) is needed: who you are");
});

it("every option is described with its variable and its default", () => {
  const described = describeOptions(options);
  for (const name of [...Object.keys(options), "config"]) expect(described).toContain(`--${name} `);
  expect(described).toContain("HEADWATER_COMMAND_PORT, default 50051");
});

it("an option of one call is a flag only, and a command may be given more than options", () => {
  const own = { ...options, json: flagOnly(flag("print JSON")), limit: flagOnly(integer("how many", 1, 9)) };
  const source = { environment: { HEADWATER_JSON: "true", HEADWATER_LIMIT: "3", HEADWATER_HOST: "environment" }, shared: options };
  const args = ["first", "--limit", "2", "second"];
  expect(parseCommandLine(own, { ...source, args })).toMatchObject({
    values: { json: false, limit: 2, host: "environment" },
    positionals: ["first", "second"],
  });
  expect(() => parseCommandLine(own, { ...source, args: ["first"] })).toThrow("--limit is needed: how many");
  expect(() => parseCommandLine(own, { ...source, args: ["--limit", "10"] })).toThrow(
    '--limit must be a whole number from 1 to 9, not "10"',
  );
  expect(describeOptions(own)).toMatch(/--json +print JSON\n +--limit +how many\n +needed\n/);
});
