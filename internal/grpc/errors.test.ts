import { create } from "@bufbuild/protobuf";
import { anyPack, durationFromMs } from "@bufbuild/protobuf/wkt";
import { status as Code } from "@grpc/grpc-js";
import { expect, it } from "vitest";
import { RetryInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { invalidArgument, resourceExhausted, StatusError, statusOf, toGrpcStatus, unavailable } from "./errors.ts";

const facts = { reason: "TOO_MANY_CALLS" };

it.each<[what: string, error: unknown, pushback: readonly string[]]>([
  ["is away for a while", unavailable("away", facts, 1_000), ["1000"]],
  ["has reached a limit", resourceExhausted("full", facts, 250), ["250"]],
  ["may not be repeated", invalidArgument([{ field: "a", description: "is wrong", reason: "WRONG" }]), []],
  ["has a delay of part of a millisecond", delayed({ seconds: 0n, nanos: 1_500_000 }), ["2"]],
  ["has no delay", new StatusError(Code.UNAVAILABLE, "away", facts, [anyPack(RetryInfoSchema, create(RetryInfoSchema))]), []],
  ["is a fault", new Error("a fault"), []],
])("gRPC's own retries are told when to come again by what %s", (_what, error, pushback) => {
  const { metadata } = toGrpcStatus(statusOf(error, "test.headwater"));
  expect(metadata.get("grpc-retry-pushback-ms")).toEqual(pushback);
});

function delayed(retryDelay: { readonly seconds: bigint; readonly nanos: number }): StatusError {
  const info = create(RetryInfoSchema, { retryDelay: { ...durationFromMs(0), ...retryDelay } });
  return new StatusError(Code.UNAVAILABLE, "away", facts, [anyPack(RetryInfoSchema, info)]);
}
