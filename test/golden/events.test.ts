import { fromJson, toJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { OrderEventSchema } from "../../internal/gen/headwater/orders/v1/order_event_pb.ts";
import { OrderStateSchema } from "../../internal/gen/headwater/orders/v1/order_state_pb.ts";
import { order } from "../../internal/orders/domain/order.ts";
import { orderEvents } from "../../internal/orders/order-events.ts";
import { orderViews } from "../../internal/orders/projection/views.ts";
import { encoded, eventKinds, goldenFiles, goldenOf, readGolden, schemaVersion, versionsOf, writtenToday } from "./golden.ts";

describe.each(eventKinds.map(({ name, localName }) => ({ name, localName })))("$name", ({ name, localName }) => {
  const versions = versionsOf(name);

  it("is recorded in every schema version since its first, up to today's", () => {
    const expected = Array.from({ length: schemaVersion }, (_, index) => index + 1).filter((version) => version >= (versions[0] ?? 1));
    expect(versions).toEqual(expected);
  });

  it("is written as it is recorded; whoever changes it raises the schema version", () => {
    expect(writtenToday(localName)).toBe(readGolden(name, schemaVersion)?.bytes);
  });

  describe.each(versions.map((version) => ({ version, golden: readGolden(name, version) })))(
    "in version $version",
    ({ version, golden }) => {
      const bytes = golden?.bytes ?? "";

      it("has bytes that still say what they said, and mean today what is recorded", () => {
        expect(goldenOf(bytes)).toEqual(golden);
        expect(golden?.event).toMatchObject({ metadata: { schemaVersion: version } });
      });

      it("is encoded so that yesterday's code can read it", () => {
        expect(encoded(fromJson(OrderEventSchema, golden?.event ?? {}))).toBe(bytes);
      });

      it("is folded by the aggregate and by every view", () => {
        const event = orderEvents.read(Buffer.from(bytes, "base64"));
        expect(() => toJson(OrderStateSchema, order.evolve(order.initial(), event))).not.toThrow();
        for (const view of orderViews) {
          for (const id of view.keys(event)) expect(view.decode(view.encode(view.fold(undefined, id, event), { 0: 1 }))).toBeDefined();
        }
      });
    },
  );
});

it("nothing else is recorded", () => {
  const expected = eventKinds.flatMap(({ name }) => versionsOf(name).map((version) => `${name}.v${version}.json`));
  expect(goldenFiles).toEqual(expected.toSorted());
});

it("a byte that changes is noticed", () => {
  const golden = readGolden("order_placed", 1);
  const bytes = Buffer.from(golden?.bytes ?? "", "base64");
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
  expect(goldenOf(bytes.toString("base64")).event).not.toEqual(golden?.event);
});
