import { expect, it } from "vitest";
import type { Documents } from "../../../internal/cqrs/documents.ts";
import type { Log } from "../../../internal/cqrs/log.ts";
import { project } from "../../../internal/cqrs/testing/projector-suite-support.ts";
import { openEmbeddedDocuments } from "../../../internal/documents/embedded/open.ts";
import { OrderEventSchema } from "../../../internal/gen/headwater/orders/v1/order_event_pb.ts";
import { recordOf, shortHistory } from "../../../test/support/order-histories.ts";
import { newOrderLog, orders } from "../../../test/support/order-runtime.ts";
import { statusText } from "./status.ts";
import { viewStatuses } from "./views.ts";

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

it("documents that are not those of the log are told, with what to do", async () => {
  await using log = await newOrderLog(1);
  await using documents = await openEmbeddedDocuments({ inMemory: true });
  await log.append(shortHistory(1).logged.map(recordOf));
  await project(log, documents);
  expect(await problemsIn(log, documents)).toEqual(new Set([undefined]));
  await using other = await newOrderLog(1);
  const [anotherStream] = await problemsIn(other, documents);
  expect(anotherStream).toMatch(/another stream of events .*views reset/);

  const [collection = ""] = orders.views.map((view) => view.collection.name);
  const checkpoints = await documents.checkpoints(collection);
  await documents.drop([collection]);
  await documents.write(
    [],
    checkpoints.map((checkpoint) => ({ ...checkpoint, proof: "another" })),
  );
  const problems = await problemsIn(log, documents);
  expect([...problems].filter((problem) => problem !== undefined)).toEqual([
    expect.stringMatching(/another record at offset .*views reset/),
  ]);
  expect(problems).toContain(undefined);
});

it("a problem of a view stands under the table", () => {
  const view = {
    view: "orders",
    generation: "live",
    collection: "orders.v2",
    lagEvents: 0,
    lagSeconds: 0,
    lags: [],
    problem: "why",
  } as const;
  const text = statusText({ logId: "log-1", sampleSeconds: 0, deadLetters: { open: 0, closed: 0 }, partitions: [], views: [view] });
  expect(text).toMatch(/\n\nproblem of orders\.v2: why\n$/);
});

async function problemsIn(log: Log, documents: Documents): Promise<ReadonlySet<string | undefined>> {
  const events = { log, topic: orders.topics.events.name, schema: OrderEventSchema };
  const statuses = await viewStatuses({ events, documents, lasts: [undefined], nowMs: 0 });
  return new Set(statuses.map(({ problem }) => problem));
}
