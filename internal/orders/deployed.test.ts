import { describe, expect, it } from "vitest";
import { deployDomain, errorDomainOf, eventSourceOf } from "../cqrs/domain.ts";
import { orders } from "./orders.ts";

describe("a domain that is deployed", () => {
  it("has names that begin with its own, without a namespace", () => {
    const { topics, groups } = deployDomain(orders);
    expect(Object.values(topics).map(({ name }) => name)).toEqual([
      "orders.commands.v1",
      "orders.events.v1",
      "orders.state.v1",
      "orders.dead-letters.v1",
      "orders.replies.v1",
      "orders.progress.v1",
    ]);
    expect(groups).toEqual({ handler: "orders.command-handler.v1", projector: "orders.projector.v1" });
    expect([eventSourceOf(orders), errorDomainOf(orders)]).toEqual(["/headwater/orders", "orders.headwater"]);
  });

  it("shares no name with the same in another namespace", () => {
    const names = ["", "staging", "production-2"].flatMap((namespace) => {
      const { topics, groups } = deployDomain(orders, namespace);
      return [...Object.values(topics).map(({ name }) => name), ...Object.values(groups)];
    });
    expect(new Set(names).size).toBe(3 * 8);
    expect(names).toContain("staging.orders.events.v1");
  });

  it.each(["Staging", "a_b", "a.b", "x".repeat(21), "a b"])("is not deployed in %j", (namespace) => {
    expect(() => deployDomain(orders, namespace)).toThrow(TypeError);
  });
});
