import { expect, it } from "vitest";
import { ConfigError, describeOptions, parseDevConfig } from "./config.ts";

it("without flags and environment, the defaults of the README hold", () => {
  expect(parseDevConfig([], {})).toEqual({
    host: "127.0.0.1",
    commandPort: 50_051,
    queryPort: 50_052,
    gatewayPort: 8080,
    directory: "./data",
    partitions: 8,
    logLevel: "warn",
  });
});

it("a flag goes before the environment, and the environment before the default", () => {
  const environment = { HEADWATER_COMMAND_PORT: "1", HEADWATER_QUERY_PORT: "2", HEADWATER_IN_MEMORY: "true" };
  expect(parseDevConfig(["--command-port", "3"], environment)).toMatchObject({ commandPort: 3, queryPort: 2, directory: null });
});

for (const [args, message] of [
  [["--command-port", "x"], "--command-port (HEADWATER_COMMAND_PORT) must be a whole number from 0 to 65535"],
  [["--command-port", "65536"], "65535"],
  [["--partitions", "0"], "--partitions"],
  [["--log-level", "loud"], "must be one of trace, debug"],
  [["--no-such-flag"], "--no-such-flag"],
  [["extra"], "extra"],
] as const) {
  it(`${args.join(" ")} is refused with the key and what it takes`, () => {
    const parse = () => parseDevConfig(args, {});
    expect(parse).toThrow(ConfigError);
    expect(parse).toThrow(message);
  });
}

it("a wrong value in the environment is refused too", () => {
  expect(() => parseDevConfig([], { HEADWATER_IN_MEMORY: "yes" })).toThrow("must be one of true, false");
});

it("every option is described with its variable and its default", () => {
  expect(describeOptions().split("\n")).toHaveLength(8);
  expect(describeOptions()).toContain("--data          folder of the log and the documents (HEADWATER_DATA, default ./data)");
});
