import { expect, it } from "vitest";
import { StatusError } from "../../internal/grpc/errors.ts";
import { actorOf } from "./actor.ts";

const actor = (header: string | undefined) => actorOf({ header: () => header });

it.each([
  [undefined, "anonymous"],
  ["", "anonymous"],
  ["alice", "alice"],
  ["Alice B. (sales)", "Alice B. (sales)"],
  ["Ren%C3%A9e", "Renée"],
  ["%E2%9D%A4".repeat(128), "❤".repeat(128)],
  ["50%25", "50%"],
])("the header %j names %j", (header, name) => {
  expect(actor(header)).toBe(name);
});

it.each(["50%", "%E9", "a%0Ab", "%1B[31m", "x".repeat(129), "%F0%9F%8E%81".repeat(129)])("the header %j is refused", (header) => {
  expect(() => actor(header)).toThrow(StatusError);
  expect(() => actor(header)).toThrow(/^headwater-actor: must /);
});
