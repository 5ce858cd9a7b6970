import { createRequire } from "node:module";
import { getSystemErrorMap } from "node:util";
import * as driver from "mongodb";
import { describe, expect, it } from "vitest";
import { DocumentsUnavailableError } from "../../cqrs/documents.ts";
import { isAway, meanings, reaching } from "./errors.ts";

const require = createRequire(import.meta.url);
// Its public entry does not have them: the classes of the pool, and the codes that the driver itself looks for.
const hidden = require("mongodb/lib/cmap/errors") as Readonly<Record<string, unknown>>;
const { MONGODB_ERROR_CODES: codes } = require("mongodb/lib/error") as { readonly MONGODB_ERROR_CODES: Readonly<Record<string, number>> };

/** Of the driver's own codes, those that do not pass. */
const faults = new Set(["AuthenticationFailed", "IllegalOperation", "NamespaceNotFound", "UnknownReplWriteConcern"]);

const classes = Object.entries({ ...driver, ...hidden }).filter(([, each]) => isErrorClass(each)) as [string, typeof driver.MongoError][];

describe("every class of the driver", () => {
  it("is sorted", () => {
    expect(Object.keys(meanings).toSorted()).toEqual(classes.map(([name]) => name).toSorted());
  });

  it.each(classes)("%s means what is said of it", (name, { prototype }) => {
    // Each is constructed in a way of its own; what is sorted by is the class.
    const error = Object.create(prototype, {
      message: { value: "no" },
      hasErrorLabel: { value: () => false },
      code: { value: 1 },
    }) as Error;
    if (name === "MongoBulkWriteError") Object.assign(error, { result: { getWriteConcernError: () => undefined }, writeErrors: [] });
    expect(isAway(error)).toBe(meanings[name as keyof typeof meanings] === "away");
  });
});

describe("every code that the driver knows", () => {
  it.each(Object.entries(codes))("%s is sorted", (name, code) => {
    expect(isAway(new driver.MongoServerError({ message: name, code }))).toBe(!faults.has(name));
  });
});

describe("every error that Node has a name for", () => {
  it.each([...getSystemErrorMap().values()].map(([code]) => code))("%s of a socket is an outage, also in a bulk write", (code) => {
    const error = systemError("write", code);
    expect(isAway(error)).toBe(true);
    // The driver passes on whatever its connection threw.
    expect(isAway(new driver.MongoBulkWriteError(error, noResult))).toBe(true);
  });

  it.each(["ENOENT", "EACCES", "EISDIR", "EMFILE"])("%s of a file is none", (code) => {
    expect(isAway(systemError("open", code))).toBe(false);
  });
});

const noResult = { getWriteConcernError: () => undefined } as unknown as driver.BulkWriteResult;

it.each([
  ["only what is there already", [11_000], false],
  ["what is there already, and a server that stepped down", [11_000, 11_602], true],
  ["what is too large, and a server that stepped down", [10_334, 11_602], false],
] as const)("a bulk write that met %s is an outage: %s", (_, found, isOutage) => {
  const writeErrors = found.map((code) => ({ code })) as unknown as driver.WriteError[];
  const error = new driver.MongoBulkWriteError({ message: "no", code: found[0], writeErrors }, noResult);
  expect(isAway(error)).toBe(isOutage);
});

it("labels go before classes and codes", () => {
  for (const label of ["RetryableWriteError", "RetryableError", "SystemOverloadedError"]) {
    expect(isAway(new driver.MongoServerError({ message: "no", code: 1, errorLabels: [label] }))).toBe(true);
  }
});

it("TLS that is refused does not pass, and says what to check", async () => {
  const cause = Object.assign(new Error("self-signed certificate"), { code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
  const failed = reaching(() => Promise.reject(new driver.MongoNetworkError("self-signed certificate", { cause })));
  await expect(failed).rejects.toThrow("no TLS with MongoDB: self-signed certificate; check");
  await expect(failed).rejects.not.toBeInstanceOf(DocumentsUnavailableError);
});

it("what is no error of the driver or of a connection stays as it is", async () => {
  const error = new TypeError("a field of that name cannot be");
  await expect(reaching(() => Promise.reject(error))).rejects.toBe(error);
});

function isErrorClass(value: unknown): boolean {
  return typeof value === "function" && value.prototype instanceof Error;
}

function systemError(syscall: string, code: string): Error {
  return Object.assign(new Error(`${syscall} ${code}`), { syscall, code });
}
