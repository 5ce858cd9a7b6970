import { readdirSync } from "node:fs";
import { dirname } from "node:path";
import { fromJson, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { OrderEventSchema } from "../../internal/gen/headwater/orders/v1/order_event_pb.ts";
import { decoded, eventKinds, goldenPath, readGolden } from "./golden.ts";

it("every kind of event is recorded, and nothing else is", () => {
  const recorded = readdirSync(dirname(goldenPath("any")));
  expect(recorded.toSorted()).toEqual(eventKinds.map(({ name }) => `${name}.v1.json`).toSorted());
});

describe.each(eventKinds.map(({ name, jsonName }) => ({ name, jsonName })))("$name", ({ name, jsonName }) => {
  const golden = readGolden(name);

  it("has bytes that still mean what they meant", () => {
    expect(golden?.event).toHaveProperty(jsonName);
    expect(decoded(golden?.bytes ?? "")).toEqual(golden?.event);
  });

  it("is encoded so that yesterday's code can read it", () => {
    const event = fromJson(OrderEventSchema, golden?.event ?? {});
    expect(Buffer.from(toBinary(OrderEventSchema, event)).toString("base64")).toBe(golden?.bytes);
  });
});

it("a byte that changes is noticed", () => {
  const golden = readGolden("order_placed");
  const bytes = Buffer.from(golden?.bytes ?? "", "base64");
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
  expect(decoded(bytes.toString("base64"))).not.toEqual(golden?.event);
});
