import fc from "fast-check";
import { expect, it } from "vitest";
import { recordBytes, recordBytesAtMost } from "./record-bytes.ts";

const text = fc.string({ unit: "binary" });
const record = fc.record({
  key: text,
  value: fc.option(fc.uint8Array()),
  headers: fc.option(fc.dictionary(text, text), { nil: undefined }),
});
const overhead = { perRecord: 30, perHeader: 8 };

it("a record has the bytes of its key, its value and its headers in UTF-8", () => {
  fc.assert(
    fc.property(record, ({ headers, ...rest }) => {
      const texts = [rest.key, ...Object.entries(headers ?? {}).flat()];
      const contents = texts.reduce((sum, each) => sum + Buffer.byteLength(each), rest.value?.length ?? 0);
      const any = headers === undefined ? rest : { ...rest, headers };
      expect(recordBytes(any)).toBe(contents);
      expect(recordBytes(any, overhead)).toBe(contents + 30 + 8 * Object.keys(headers ?? {}).length);
    }),
  );
});

it("what is told without a look at the characters is never too little", () => {
  fc.assert(
    fc.property(record, ({ headers, ...rest }) => {
      const any = headers === undefined ? rest : { ...rest, headers };
      expect(recordBytesAtMost(any, overhead)).toBeGreaterThanOrEqual(recordBytes(any, overhead));
    }),
  );
  expect(recordBytesAtMost({ key: "", value: new Uint8Array(10) })).toBe(10);
});
