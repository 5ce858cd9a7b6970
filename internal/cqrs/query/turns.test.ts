import { expect, it } from "vitest";
import { createTurns } from "./turns.ts";

it("no more than so many run at once, in the order in which they came, whatever becomes of them", async () => {
  const inTurn = createTurns(2);
  const begun: number[] = [];
  const gates = Array.from({ length: 5 }, () => Promise.withResolvers<number>());
  const results = gates.map(({ promise }, index) =>
    inTurn(() => {
      begun.push(index);
      return promise;
    }),
  );
  const settled = Promise.allSettled(results);
  expect(begun).toEqual([0, 1]);
  gates[1]?.reject(new Error("it failed"));
  await expect(results[1]).rejects.toThrow("it failed");
  expect(begun).toEqual([0, 1, 2]);
  for (const [index, { resolve }] of gates.entries()) resolve(index);
  await settled;
  expect(begun).toEqual([0, 1, 2, 3, 4]);
  expect(await inTurn(async () => "free again")).toBe("free again");
});
