import fc from "fast-check";
import { expect, it } from "vitest";
import { followFrames } from "./frames.ts";
import { frame } from "./testing/harness.ts";

it("messages are found wherever the bytes are cut", () => {
  const lengths = fc.array(fc.oneof(fc.nat(10), fc.nat(70_000)), { maxLength: 6 });
  fc.assert(
    fc.property(lengths, fc.array(fc.integer({ min: 1, max: 9_000 }), { minLength: 1 }), (messages, cuts) => {
      const bytes = Buffer.concat(messages.map((length) => frame(Buffer.alloc(length, 0xff))));
      const frames = followFrames();
      const found: number[] = [];
      for (let at = 0, cut = 0; at < bytes.length; cut++) {
        const end = at + (cuts[cut % cuts.length] ?? 1);
        found.push(...frames.take(bytes.subarray(at, end)));
        at = end;
        const ends = messages.map((_, index) => messages.slice(0, index + 1).reduce((sum, length) => sum + length + 5, 0));
        expect(frames.isPartial).toBe(at < bytes.length && !ends.includes(at));
      }
      expect(found).toEqual(messages.map((length) => length + 5));
    }),
  );
});
