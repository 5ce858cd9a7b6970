import fc from "fast-check";
import { expect, it } from "vitest";
import { anyOrder, anyQuery, modelFind } from "../testing/documents-model.ts";
import { matches } from "./matches.ts";

it("a document matches if a query finds it, whether its dates are dates or text", () => {
  fc.assert(
    fc.property(anyOrder, anyQuery, (fields, { where }) => {
      const found = modelFind([{ collection: "", id: "any", expectedRevision: 0, applied: {}, fields }], { where, sort: [] }).length === 1;
      expect(matches(fields, where)).toBe(found);
      expect(matches(JSON.parse(JSON.stringify(fields)), where)).toBe(found);
    }),
    { numRuns: 1_000 },
  );
});

it("a field that is not there matches nothing", () => {
  expect(matches({}, [{ field: "a.b", op: "eq", value: "" }])).toBe(false);
  expect(matches({}, [{ field: "a", op: "lt", value: 1 }])).toBe(false);
  expect(matches({ a: "text" }, [{ field: "a", op: "lt", value: 1 }])).toBe(false);
  expect(matches({ a: 0 }, [])).toBe(true);
});
