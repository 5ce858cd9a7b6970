import { expect, it } from "vitest";
import { statusText } from "./status.ts";

const partition = { partition: 0, commandsWaiting: 1_234, events: 5_678 };

it("a status is told partition by partition, view by view", () => {
  const view = { view: "orders", generation: "live", collection: "orders.v1", lagEvents: 12, lagSeconds: 3.5, lags: [] } as const;
  const text = statusText({
    logId: "log-1",
    sampleSeconds: 2,
    commandsPerSecond: 1_500,
    eventsPerSecond: 20,
    deadLetters: { open: 1, closed: 2 },
    partitions: [{ ...partition, handler: "a", lagEvents: 12, lagSeconds: 3.5, projector: "b" }],
    views: [view],
    parkedKeys: 3,
  });
  expect(text).toBe(
    `
log log-1
1,500 commands/s, 20 events/s over 2 s
1 open dead letters, 2 closed; 3 parked keys

partition  waiting  handler  events  lag events  lag seconds  projector
        0    1,234  a         5,678          12          3.5  b

view    generation  collection  lag events  lag seconds
orders  live        orders.v1           12          3.5
`.trimStart(),
  );
});

it("what nobody knows is not told as a number", () => {
  const text = statusText({
    logId: "log-1",
    sampleSeconds: 0,
    deadLetters: { open: 0, closed: 0 },
    partitions: [partition],
    documentsError: "MongoDB does not answer",
  });
  expect(text).toMatch(/0 +1,234 +nobody +5,678 +\? +\? +nobody\n\nno views: MongoDB does not answer\n$/);
  expect(text).not.toContain("commands/s");
});
