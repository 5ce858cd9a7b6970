import { expect, it } from "vitest";
import { findTool } from "./tools.ts";

it("a missing program is undefined locally and an error in CI", () => {
  expect(findTool("no-such-program", { PATH: "/usr/bin" })).toBeUndefined();
  expect(() => findTool("no-such-program", { PATH: "/usr/bin", CI: "true" })).toThrow("npm run tools");
});
