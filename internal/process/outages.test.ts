import { expect, it, onTestFinished } from "vitest";
import { DocumentsUnavailableError } from "../cqrs/documents.ts";
import { LogUnavailableError } from "../cqrs/log.ts";
import { createLogger } from "../platform/logging.ts";
import { openThroughOutages, throughOutages, watchHealth } from "./outages.ts";

const logger = createLogger({ app: "test", level: "silent" });

it("what fails while a store is away is run again until it succeeds", async () => {
  const failures = [new LogUnavailableError("Kafka is away"), new DocumentsUnavailableError("MongoDB is away")];
  const run = (): Promise<string> => {
    const failure = failures.shift();
    return failure === undefined ? Promise.resolve("done") : Promise.reject(failure);
  };
  expect(await throughOutages(run, { logger, signal: new AbortController().signal })).toBe("done");
  expect(failures).toEqual([]);
});

it("what fails by an outage, and again while it closes, is run again; a fault beside an outage ends it", async () => {
  const away = new LogUnavailableError("away");
  const { signal } = new AbortController();
  const failures = [new SuppressedError(away, away), new SuppressedError(new SuppressedError(away, away), away)];
  const run = () => {
    const failure = failures.pop();
    return failure === undefined ? Promise.resolve("done") : Promise.reject(failure);
  };
  expect(await throughOutages(run, { logger, signal })).toBe("done");
  for (const fault of [new SuppressedError(away, new Error("wrong")), new SuppressedError(new Error("wrong"), away)]) {
    await expect(throughOutages(() => Promise.reject(fault), { logger, signal })).rejects.toBe(fault);
  }
});

it("what is no outage ends it", async () => {
  const gap = new Error("an event is missing");
  const signal = new AbortController().signal;
  await expect(throughOutages(() => Promise.reject(gap), { logger, signal })).rejects.toBe(gap);
});

it("a process that is told to stop waits for no store", async () => {
  const stop = new AbortController();
  const away = throughOutages(() => Promise.reject(new LogUnavailableError("Kafka is away")), { logger, signal: stop.signal });
  const hanging = openThroughOutages(() => Promise.withResolvers<never>().promise, { logger, signal: stop.signal });
  const reason = new Error("stopped");
  stop.abort(reason);
  expect(await Promise.allSettled([away, hanging])).toEqual([
    { status: "rejected", reason },
    { status: "rejected", reason },
  ]);
});

it("health tells the first answer and every change, and a check that hangs is no answer", async () => {
  const answers: (() => Promise<void>)[] = [
    () => Promise.resolve(),
    () => Promise.resolve(),
    () => Promise.reject(new Error("away")),
    () => Promise.withResolvers<never>().promise,
    () => Promise.resolve(),
  ];
  const told: boolean[] = [];
  const done = Promise.withResolvers<void>();
  const check = (): Promise<void> => {
    const answer = answers.shift();
    if (answers.length === 0) done.resolve();
    return answer?.() ?? Promise.resolve();
  };
  const health = watchHealth({ check, onChange: (isServing) => told.push(isServing), logger });
  onTestFinished(() => health[Symbol.asyncDispose]());
  await done.promise;
  await expect.poll(() => told).toEqual([true, false, true]);
});
