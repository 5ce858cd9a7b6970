/** What a client may meet stands in the contract: the reasons of errors, and the numbers that later fields will take. */

import { globSync, readFileSync } from "node:fs";
import type { DescMessage } from "@bufbuild/protobuf";
import { status as Code } from "@grpc/grpc-js";
import { expect, it } from "vitest";
import { ErrorReason } from "../../internal/gen/headwater/cqrs/v1/error_reason_pb.ts";
import { EventMetadataSchema } from "../../internal/gen/headwater/cqrs/v1/event_pb.ts";
import { CommandMetadataSchema } from "../../internal/gen/headwater/cqrs/v1/record_pb.ts";
import { AggregateSnapshotSchema, DeadLetterSchema } from "../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { OrderCommandRecordSchema } from "../../internal/gen/headwater/orders/v1/order_command_record_pb.ts";
import { OrderEventSchema } from "../../internal/gen/headwater/orders/v1/order_event_pb.ts";

it("every reason that the servers give, whatever the domain, is in the contract, and no other", () => {
  expect(sources().length).toBeGreaterThan(100);
  const given = sources().flatMap((path) =>
    [...readFileSync(path, "utf8").matchAll(/"([A-Z]+(?:_[A-Z]+)+)"/g)].map(([, name = ""]) => name),
  );
  const others = new Set([...Object.keys(Code), "REFUSED_STREAM"]);
  const reasons = new Set(given.filter((name) => name === "DEADLINE_EXCEEDED" || !others.has(name)));
  const oneWord = ["CANCELLED", "INTERNAL"];
  expect([...reasons, ...oneWord].toSorted()).toEqual(
    Object.keys(ErrorReason)
      .filter((name) => /^[A-Z_]+$/.test(name) && name !== "UNSPECIFIED")
      .toSorted(),
  );
});

it("every reason's gRPC code is told in the contract", () => {
  const told = new Map(
    [
      ...readFileSync("proto/headwater/cqrs/v1/error_reason.proto", "utf8").matchAll(
        / {2}\/\/ (?:([A-Z_]+):)?[^\n]*\n(?: {2}\/\/[^\n]*\n)* {2}ERROR_REASON_(\w+) =/g,
      ),
    ].map(([, code = "INVALID_ARGUMENT", reason = ""]) => [reason, code] as const),
  );
  const codeOf = {
    unavailable: "UNAVAILABLE",
    resourceExhausted: "RESOURCE_EXHAUSTED",
    deadlineExceeded: "DEADLINE_EXCEEDED",
    invalidArgument: "INVALID_ARGUMENT",
  } as const;
  const given =
    /(?:new StatusError\((?:Grpc)?Code\.(\w+)|\b(unavailable|resourceExhausted|deadlineExceeded|invalidArgument)\()(?:(?!StatusError|;\n)[\s\S])*?reason: "(\w+)"/g;
  const pairs = sources().flatMap((path) =>
    [...readFileSync(path, "utf8").matchAll(given)].map(([, code, make = "", reason = ""]) => ({
      reason,
      code: code ?? codeOf[make as keyof typeof codeOf],
    })),
  );
  expect(pairs.length).toBeGreaterThan(30);
  expect(pairs.filter(({ reason, code }) => told.get(reason) !== code)).toEqual([]);
});

it.each<[DescMessage, file: string, kept: readonly number[]]>([
  [CommandMetadataSchema, "cqrs/v1/record", [14, 15, 16, 17, 18]],
  [EventMetadataSchema, "cqrs/v1/event", [12, 13]],
  [AggregateSnapshotSchema, "cqrs/v1/state", [9, 10, 11]],
  [DeadLetterSchema, "cqrs/v1/state", [8, 9]],
  [OrderCommandRecordSchema, "orders/v1/order_command_record", [3]],
  [OrderEventSchema, "orders/v1/order_event", [6]],
])("numbers of %s are kept free for fields that are to come", (message, file, kept) => {
  const numbers = new Set(message.fields.map(({ number }) => number));
  expect(kept.filter((number) => numbers.has(number))).toEqual([]);
  const text = readFileSync(`proto/headwater/${file}.proto`, "utf8");
  const [body = ""] = new RegExp(`message ${message.name} \\{[\\s\\S]*?\\n\\}`).exec(text) ?? [];
  const [, listed = ""] = /Kept free: (.*)\./.exec(body) ?? [];
  expect(listed.split(", ").map((each) => Number.parseInt(each, 10))).toEqual(kept);
});

/** What answers callers whatever the domain. */
function sources(): readonly string[] {
  return globSync("{internal/{cqrs,grpc,serving},cmd/gateway}/**/*.ts").filter((path) => !/\.test\.ts$|testing\//.test(path));
}
