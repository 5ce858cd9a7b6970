import { create } from "@bufbuild/protobuf";
import { FieldMaskSchema } from "@bufbuild/protobuf/wkt";
import { expect, it } from "vitest";
import { OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { type Order, OrderSchema, OrderStatus } from "../../gen/headwater/orders/v1/order_pb.ts";
import { ReadMaskError, readMask } from "./read-mask.ts";

const whole = create(OrderSchema, {
  orderId: "order-1",
  version: 3,
  status: OrderStatus.PLACED,
  lines: [{ lineId: "1", sku: "tea", quantity: 2 }],
  shippingAddress: { city: "London", country: "GB" },
  total: { currencyCode: "EUR", minorUnits: 200n },
});

function masked(...paths: readonly string[]): Order {
  return readMask(OrderSchema, create(FieldMaskSchema, { paths: [...paths] }))(whole);
}

function faultsOf(...paths: readonly string[]): ReadonlyMap<number, string> {
  try {
    masked(...paths);
  } catch (error) {
    if (error instanceof ReadMaskError) return error.faults;
    throw error;
  }
  return new Map();
}

it("a mask that is absent or empty, or has the path *, leaves all fields", () => {
  expect(readMask(OrderSchema, undefined)(whole)).toEqual(whole);
  expect(masked()).toEqual(whole);
  expect(masked("status", "*")).toEqual(whole);
});

it.each<[paths: string[], fields: object]>([
  [["status", "version"], { status: OrderStatus.PLACED, version: 3 }],
  [["total"], { total: whole.total }],
  [["total.minor_units"], { total: { minorUnits: 200n } }],
  [["total.minor_units", "total.currency_code"], { total: whole.total }],
  [["total.minor_units", "total"], { total: whole.total }],
  [["total", "total.minor_units"], { total: whole.total }],
  [["lines"], { lines: whole.lines }],
  [["shipping_address.country", "order_id"], { orderId: "order-1", shippingAddress: { country: "GB" } }],
  [["paid.minor_units", "placed_at"], {}],
])("%j leaves these fields and no others", (paths, fields) => {
  expect(masked(...paths)).toEqual(create(OrderSchema, fields));
});

it.each([
  ["colour", '"colour" is no path in headwater.orders.v1.Order'],
  ["orderId", '"orderId" is no path'],
  ["", '"" is no path'],
  ["total.", '"total." is no path'],
  ["total.cents", '"total.cents" is no path'],
  ["total.*", '"total.*" is no path'],
  ["status.name", '"status.name" leads through status'],
  ["lines.sku", '"lines.sku" leads through lines'],
  ["__proto__", '"__proto__" is no path'],
])("%j is refused", (path, complaint) => {
  expect(faultsOf("status", path)).toEqual(new Map([[1, expect.stringContaining(complaint)]]));
});

it("all paths that lead nowhere are named, cut where they are long", () => {
  const faults = faultsOf("a", "*", "b".repeat(10_000));
  expect([...faults.keys()]).toEqual([0, 2]);
  expect(faults.get(2)?.length).toBeLessThan(200);
});

it("more paths than there are fields are refused", () => {
  expect(faultsOf(...Array<string>(101).fill("status"))).toEqual(new Map([[100, expect.stringContaining("at most 100")]]));
});

it("of a oneof, the member that is set is left if it is wanted", () => {
  const event = create(OrderEventSchema, { customerId: "ann", event: { case: "lineRemoved", value: { lineId: "1" } } });
  const pick = (path: string) => readMask(OrderEventSchema, create(FieldMaskSchema, { paths: [path] }))(event).event.case;
  expect([pick("line_removed"), pick("line_removed.line_id"), pick("line_added")]).toEqual(["lineRemoved", "lineRemoved", undefined]);
});
