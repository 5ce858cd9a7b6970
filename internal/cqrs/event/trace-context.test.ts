import { expect, it } from "vitest";
import { traceHeadersOf } from "./trace-context.ts";

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

function traceOf(headers: Readonly<Record<string, string>>) {
  return traceHeadersOf((name) => headers[name]);
}

it("a trace context is taken as it comes, and nothing else is", () => {
  const headers = { traceparent, tracestate: "rojo=00f067aa0ba902b7, t0@congo=a b" };
  expect(traceOf({ ...headers, authorization: "secret" })).toEqual(headers);
  expect(traceOf({ traceparent })).toEqual({ traceparent });
  expect(traceOf({ tracestate: "rojo=1" })).toBeUndefined();
});

it.each([
  ["nothing", ""],
  ["a version that is forbidden", traceparent.replace("00", "ff")],
  ["upper case", traceparent.toUpperCase()],
  ["a trace id of zeros", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"],
  ["a parent id of zeros", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"],
  ["a trace id that is too short", traceparent.replace("4bf9", "4bf")],
  ["more than four parts", `${traceparent}-00`],
  ["a line break", `${traceparent}\n`],
])("a traceparent of %s is ignored", (_, text) => {
  expect(traceOf({ traceparent: text, tracestate: "rojo=1" })).toBeUndefined();
});

it.each([
  ["nothing", ""],
  ["a key without a value", "rojo"],
  ["a key in upper case", "Rojo=1"],
  ["a value of letters beyond ASCII", "rojo=ö"],
  ["a line break", "rojo=1\r\nx"],
  ["33 members", Array.from({ length: 33 }, (__, index) => `k${index}=1`).join()],
  ["513 characters", Array.from({ length: 3 }, (__, index) => `k${index}=${"x".repeat(167 + (index === 0 ? 1 : 0))}`).join()],
])("a tracestate of %s is ignored, and its traceparent is not", (_, tracestate) => {
  expect(traceOf({ traceparent, tracestate })).toEqual({ traceparent });
});
