/** What the log refuses for good ends the process that writes it, with the reason, whatever is written and from wherever. */

import { expect, it, onTestFinished } from "vitest";
import { runCommandHandlers } from "../../cmd/command-handler/app.ts";
import { startCommandService } from "../../cmd/command-service/app.ts";
import { runProjectors } from "../../cmd/projector/app.ts";
import { type Log, LogRefusedError, type NewRecord, RecordsTooLargeError } from "../../internal/cqrs/log.ts";
import { openEmbeddedDocuments } from "../../internal/documents/embedded/open.ts";
import { CommandStage } from "../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { OrderCommandService } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { startBackground } from "../../internal/platform/background.ts";
import { createLogger } from "../../internal/platform/logging.ts";
import { createGrpcClient, type GrpcClient } from "../support/grpc-client.ts";
import { orderDomain } from "../support/order-domain.ts";
import { openOrderLog, orders } from "../support/order-runtime.ts";
import { newOrder } from "../support/orders.ts";
import { beforeWrites } from "../support/written-topics.ts";
import { sourcesOf } from "../tidy/sources.ts";

const { createOrder } = OrderCommandService.method;
const { commands, events, state, deadLetters, replies, progress } = orders.topics;
const logger = createLogger({ app: "test", level: "silent" });

type Process = "command service" | "command handler" | "projector";

/** Every topic that a process writes to. */
const paths: readonly (readonly [Process, string])[] = [
  ["command service", commands.name],
  ["command service", replies.name],
  ["command handler", events.name],
  ["command handler", state.name],
  ["command handler", deadLetters.name],
  ["command handler", replies.name],
  ["projector", progress.name],
];

/** The places in the code that write: those of the processes above, and commands of operators, which end with what they are told. */
const writers = [
  "cmd/headwater/commands/lost.ts",
  "cmd/headwater/dead-letters/resolve.ts",
  "cmd/headwater/log/backup/import-log.ts",
  "internal/cqrs/command/command-gateway.ts",
  "internal/cqrs/command/slices.ts",
  "internal/cqrs/projector/progress-teller.ts",
];

it("these are all the places that write to the log", () => {
  const sources = [...sourcesOf("internal/{cqrs,orders,grpc,process}/**/*.ts"), ...sourcesOf("cmd/**/*.ts")].filter(
    ({ path }) => !/\.test\.ts$|\/testing\//.test(path),
  );
  const found = sources.filter(({ text }) => /\blog\.append\(|\bowner\.transact\(/.test(text)).map(({ path }) => path);
  expect(found.toSorted(), "a new one needs its place here, and a row above for each topic").toEqual(writers);
});

it("these are all the topics that processes write to", async () => {
  const log = await openOrderLog();
  const written = new Set<string>();
  const processes = await startAll(log, (process) => (records) => {
    for (const { topic } of records) written.add(`${process}: ${topic}`);
  });
  await writeEverything(log, processes.commands);
  await expect.poll(() => [...written].toSorted()).toEqual(paths.map((path) => path.join(": ")).toSorted());
});

it("a process that may not write to one of them ends with the reason, and whoever waits for it is told", async () => {
  const ends = paths.map(async ([refused, refusedTopic]) => {
    const log = await openOrderLog();
    const { commands: client, ended } = await startAll(log, (process) => (records) => {
      if (process === refused && records.some(({ topic }) => topic === refusedTopic)) throw new LogRefusedError(reasonOf(refusedTopic));
    });
    const answer = writeEverything(log, client).catch(asValue);
    const end = await ended[refused].catch(asValue);
    return { refused, refusedTopic, end: String(end), answer: refusedTopic === commands.name ? await answer : undefined };
  });
  expect(await Promise.all(ends)).toMatchObject(
    paths.map(([refused, refusedTopic]) => ({ refused, refusedTopic, end: `LogRefusedError: ${reasonOf(refusedTopic)}` })),
  );
  const [{ answer } = {}] = await Promise.all(ends);
  expect(answer).toMatchObject({ reason: "LOG_UNAVAILABLE", retryAfterMs: 1_000 });
});

it("a command that the log finds too large is its caller's matter: all others are taken", async () => {
  const log = await openOrderLog();
  const { commands: client } = await startAll(log, (process) => (records) => {
    if (process === "command service" && records.some(({ key }) => key === "large")) throw new RecordsTooLargeError("too many bytes");
  });
  await expect(client.call(createOrder, newOrder("large"))).rejects.toMatchObject({ code: 9, reason: "COMMAND_TOO_LARGE" });
  expect((await client.call(createOrder, newOrder("small"))).receipt).toMatchObject({ version: 1 });
});

/** All processes that know the log, each with its own view of it. */
async function startAll(log: Log, told: (process: Process) => (records: readonly NewRecord[]) => void) {
  const logOf = (process: Process): Log => beforeWrites(log, told(process));
  const documents = await openEmbeddedDocuments({ inMemory: true });
  onTestFinished(() => documents[Symbol.asyncDispose]());
  const handler = startBackground((signal) =>
    runCommandHandlers({ domains: [orderDomain], instance: "one" }, { log: logOf("command handler"), logger }, signal),
  );
  const projector = startBackground((signal) =>
    runProjectors({ domains: [orderDomain], instance: "one" }, { log: logOf("projector"), documents }, signal),
  );
  const service = await startCommandService(
    { domains: [orderDomain], host: "127.0.0.1", port: 0 },
    { log: logOf("command service"), logger },
  );
  service.setServing(true);
  const client = createGrpcClient(service.address);
  onTestFinished(async () => {
    client[Symbol.dispose]();
    await service[Symbol.asyncDispose]();
    // Of those that ended, the test knows.
    await Promise.allSettled([handler, projector].map((app) => app[Symbol.asyncDispose]()));
  });
  const ended: Readonly<Record<Process, Promise<void>>> = {
    "command service": Promise.race([service.refused, service.check(AbortSignal.timeout(30_000)).then(() => service.refused)]),
    "command handler": handler.stopped,
    projector: projector.stopped,
  };
  return { commands: client, ended };
}

/** Lets each process write all that it ever writes. */
async function writeEverything(log: Log, client: GrpcClient): Promise<void> {
  await log.append([{ topic: commands.name, partition: 0, key: "garbage", value: new Uint8Array([1]) }]);
  await client.call(createOrder, { ...newOrder("order-1"), options: { waitFor: CommandStage.PROJECTED } }, { deadlineMs: 10_000 });
}

function reasonOf(topic: string): string {
  return `it needs Write on the topic ${topic}`;
}

function asValue(error: unknown): unknown {
  return error;
}
