import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { findKafka, findMongo } from "./servers.ts";

const empty = mkdtempSync(join(tmpdir(), "headwater-servers-"));
afterAll(() => rmSync(empty, { recursive: true }));

it("a missing server is undefined locally and an error in CI", () => {
  for (const find of [findKafka, findMongo]) {
    expect(find({}, empty)).toBeUndefined();
    expect(() => find({ CI: "true" }, empty)).toThrow("npm run servers");
  }
});

it("a server that runs already is taken before one that would have to be started", () => {
  expect(findKafka({ KAFKA_BROKERS: "a:1,b:2" }, empty)).toEqual({ kind: "running", address: "a:1,b:2" });
  expect(findMongo({ MONGODB_URI: "mongodb://a", MONGOD_BINARY: process.execPath }, empty)).toEqual({
    kind: "running",
    address: "mongodb://a",
  });
  expect(findMongo({ MONGOD_BINARY: process.execPath }, empty)).toEqual({ kind: "program", path: process.execPath });
});
