import { once } from "node:events";
import { connect, constants } from "node:http2";
import { create, fromBinary } from "@bufbuild/protobuf";
import { type Client, status as Code, Metadata, type ServiceError } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import {
  type ExecuteRequest,
  ExecuteRequestSchema,
  type ExecuteResponse,
  ExecuteResponseSchema,
  OrderCommandService,
} from "../gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../gen/headwater/orders/v1/order_query_service_pb.ts";
import { statusOf, unavailable } from "./errors.ts";
import { encode, failureOf, frame, identity, pathOf, startTestServer, until } from "./testing/harness.ts";
import { validate } from "./validation.ts";

const { execute } = OrderCommandService.method;
const { watchOrder } = OrderQueryService.method;
const command = (orderId: string) => encode(ExecuteRequestSchema, { command: { command: { case: "placeOrder", value: { orderId } } } });

describe("a stream in both directions", () => {
  it("answers while requests still come, and ends when the handler does", async () => {
    await using test = await startTestServer({
      command: {
        async *execute(requests, call) {
          call.setResponseTrailer("x-trailer", "t");
          for await (const request of requests) yield { aggregateId: orderIdOf(request) };
          yield { aggregateId: "end" };
        },
      },
    });
    const { stream, responses, status } = openStream(test.client);
    stream.write(command("a"));
    await until(() => responses.length === 1, "the first is answered");
    stream.write(command("b"));
    stream.end();
    expect((await status).metadata.get("x-trailer")).toEqual(["t"]);
    expect(responses.map(({ aggregateId }) => aggregateId)).toEqual(["a", "b", "end"]);
    await until(() => test.server.callsInProgress() === 0, "no call is left");
  });

  it("leaves invalid requests to the handler", async () => {
    await using test = await startTestServer({
      command: {
        async *execute(requests) {
          for await (const request of requests) {
            try {
              validate(ExecuteRequestSchema, request);
              yield { commandId: "valid" };
            } catch (error) {
              yield { result: { case: "status", value: statusOf(error, "orders.headwater") } };
            }
          }
        },
      },
    });
    const { stream, responses, status } = openStream(test.client);
    stream.write(encode(ExecuteRequestSchema, {}));
    stream.write(command("o-1"));
    stream.end();
    await status;
    expect(responses).toMatchObject([{ result: { case: "status", value: { code: Code.INVALID_ARGUMENT } } }, { commandId: "valid" }]);
  });

  it("ends at a request that is malformed", async () => {
    await using test = await startTestServer({ command: { execute: echo } });
    const { stream, responses, failure } = openStream(test.client);
    stream.write(command("a"));
    stream.write(Buffer.from([0x0a, 0xff]));
    expect(await failure).toMatchObject({ code: Code.INVALID_ARGUMENT, info: { reason: "MALFORMED_MESSAGE" } });
    expect(responses).toHaveLength(1);
  });

  it("may go on after the handler has stopped to read", async () => {
    await using test = await startTestServer({
      command: {
        async *execute(requests) {
          for await (const _request of requests) break;
          for (let i = 0; i < 100; i++) yield { aggregateId: String(i) };
        },
      },
    });
    const { stream, responses, status } = openStream(test.client);
    stream.write(command("a"));
    await status;
    expect(responses).toHaveLength(100);
  });

  it("says why it ends, right behind a response, although the handler waits for more requests", async () => {
    await using test = await startTestServer({
      command: {
        async *execute(requests) {
          const reading = requests[Symbol.asyncIterator]();
          await reading.next();
          reading.next().catch(() => undefined);
          yield { aggregateId: "a" };
          throw unavailable("gone", { reason: "GONE" }, 0);
        },
      },
    });
    const { stream, responses, failure } = openStream(test.client);
    stream.write(command("a"));
    expect(await failure).toMatchObject({ code: Code.UNAVAILABLE, info: { reason: "GONE" } });
    expect(responses).toHaveLength(1);
    await until(() => test.server.callsInProgress() === 0, "no call is left");
  });

  it("answers what it has taken when the server stops, and then says where to go", async () => {
    let taken = 0;
    const release = Promise.withResolvers<void>();
    await using test = await startTestServer({
      command: {
        async *execute(requests) {
          const answers: { aggregateId: string }[] = [];
          for await (const request of requests) {
            taken++;
            answers.push({ aggregateId: orderIdOf(request) });
          }
          await release.promise;
          yield* answers;
        },
      },
    });
    const { stream, responses, failure } = openStream(test.client);
    stream.write(command("a"));
    await until(() => taken === 1, "it is taken");
    const stopped = test.server[Symbol.asyncDispose]();
    release.resolve();
    expect(await failure).toMatchObject({ code: Code.UNAVAILABLE, info: { reason: "SERVER_STOPPING" } });
    expect(responses).toMatchObject([{ aggregateId: "a" }]);
    await stopped;
  });

  it("aborts the signal when the client cancels", async () => {
    const reasons: unknown[] = [];
    await using test = await startTestServer({
      command: {
        async *execute(requests, { signal }) {
          signal.addEventListener("abort", () => reasons.push(signal.reason));
          yield* echo(requests);
          await once(signal, "abort");
          yield {};
        },
      },
    });
    const { stream, responses, failure } = openStream(test.client);
    stream.write(command("a"));
    await until(() => responses.length === 1, "it runs");
    stream.cancel();
    expect((await failure).code).toBe(Code.CANCELLED);
    await until(() => reasons.length === 1, "the handler knows");
    expect(reasons).toMatchObject([{ code: Code.CANCELLED }]);
    await until(() => test.server.callsInProgress() === 0, "no call is left");
    expect(test.logged).toEqual([]);
  });

  it("does not mistake a client that vanishes for one that has said everything", async () => {
    const ends: unknown[] = [];
    await using test = await startTestServer({
      command: {
        async *execute(requests) {
          try {
            yield* echo(requests);
            ends.push("all requests");
          } catch (error) {
            ends.push(error);
            throw error;
          }
        },
      },
    });
    const session = connect(`http://${test.server.address}`);
    const stream = session.request(
      { ":method": "POST", ":path": pathOf(execute), "content-type": "application/grpc" },
      { endStream: false },
    );
    stream.on("error", () => {});
    stream.write(frame(command("a")));
    await once(stream, "data");
    session.socket.destroy();
    await until(() => ends.length === 1, "the handler knows");
    expect(ends).toMatchObject([{ code: Code.CANCELLED }]);
    expect(test.logged).toEqual([]);
  });
});

describe("back pressure", () => {
  const count = 2_000;
  const large = "x".repeat(10_000);

  it("keeps the client from sending faster than the handler takes requests", async () => {
    let taken = 0;
    const gate = Promise.withResolvers<void>();
    await using test = await startTestServer({
      command: {
        async *execute(requests) {
          for await (const request of requests) {
            taken++;
            await gate.promise;
            if (taken === count) yield { aggregateId: orderIdOf(request) };
          }
        },
      },
    });
    const { stream, status } = openStream(test.client);
    let sent = 0;
    const sending = (async () => {
      for (; sent < count; sent++) if (!stream.write(command(large))) await once(stream, "drain");
      stream.end();
    })();
    await settled(() => sent);
    expect(taken).toBe(1);
    expect(sent).toBeLessThan(count / 4);
    gate.resolve();
    await sending;
    await status;
    expect(taken).toBe(count);
  });

  it("keeps the handler from answering faster than the client reads", async () => {
    let produced = 0;
    await using test = await startTestServer({
      command: {
        async *execute() {
          for (; produced < count; produced++) yield { aggregateId: large };
        },
      },
    });
    const { stream, responses, status } = openStream(test.client);
    stream.pause();
    await settled(() => produced);
    expect(produced).toBeLessThan(count / 4);
    stream.resume();
    await status;
    expect(responses).toHaveLength(count);
  });

  it("does not outlive the deadline", async () => {
    await using test = await startTestServer(
      {
        command: {
          async *execute() {
            for (;;) yield { aggregateId: large };
          },
        },
      },
      { sendTimeoutMs: 100 },
    );
    // Not as an option: then the client would end the call, whatever the server does.
    const metadata = new Metadata();
    metadata.set("grpc-timeout", "300m");
    const { stream } = openStream(test.client, metadata);
    stream.pause();
    await until(() => test.server.callsInProgress() === 1, "it runs");
    await until(() => test.server.callsInProgress() === 0, "it is over");
    expect(test.logged).toEqual([]);
  });
});

describe("a client that does not read", () => {
  let lastTakenAt = Number.POSITIVE_INFINITY;
  const endless: NonNullable<Parameters<typeof startTestServer>[0]> = {
    query: {
      async *watchOrder() {
        for (; ; lastTakenAt = Date.now()) yield { order: { orderId: "x".repeat(10_000) } };
      },
    },
  };
  const watch = (client: Client) => {
    const stream = client.makeServerStreamRequest(pathOf(watchOrder), identity, identity, encode(watchOrder.input, { orderId: "o-1" }));
    const failed = once(stream, "error").then(([error]) => Promise.reject(error));
    failed.catch(() => {});
    return { stream, failed };
  };

  it("is told when it reads again that it was too slow", async () => {
    await using test = await startTestServer(endless, { sendTimeoutMs: 2_000 });
    const { stream, failed } = watch(test.client);
    stream.on("data", () => {});
    await once(stream, "data");
    stream.pause();
    // Two checks may be needed to see that nothing moves; after two more it would be reset.
    await until(() => Date.now() - lastTakenAt > 4_500, "it is cut off");
    stream.resume();
    const { code, info, retryInfo } = await failureOf(failed);
    expect([code, info?.reason, retryInfo?.retryDelay?.seconds]).toEqual([Code.RESOURCE_EXHAUSTED, "SLOW_CLIENT", 1n]);
    expect(test.logged).toEqual([]);
  });

  it("is reset if it never reads again", async () => {
    await using test = await startTestServer(endless, { sendTimeoutMs: 100 });
    const session = connect(`http://${test.server.address}`);
    const stream = session.request({ ":method": "POST", ":path": pathOf(watchOrder), "content-type": "application/grpc" });
    const closed = new Promise((resolve) => stream.once("close", resolve));
    stream.on("error", () => {});
    stream.end(frame(encode(watchOrder.input, { orderId: "o-1" })));
    await closed;
    expect(stream.rstCode).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    await until(() => test.server.callsInProgress() === 0, "no call is left");
    session.destroy();
  });

  it("is not taken for one that reads slowly, or has nothing to read", async () => {
    await using test = await startTestServer(
      {
        query: {
          async *watchOrder() {
            for (let version = 1; version <= 20; version++) yield { order: { orderId: "x".repeat(100_000), version } };
            await lasting(3_000);
            yield { order: { version: 21 } };
          },
        },
      },
      { sendTimeoutMs: 2_000 },
    );
    const { stream } = watch(test.client);
    let count = 0;
    for await (const _ of stream) {
      count++;
      await lasting(50);
    }
    expect(count).toBe(21);
  });
});

async function* echo(requests: AsyncIterable<ExecuteRequest>) {
  for await (const request of requests) yield create(ExecuteResponseSchema, { aggregateId: orderIdOf(request) });
}

function orderIdOf(request: ExecuteRequest): string {
  return request.command?.command.value?.orderId ?? "";
}

function openStream(client: Client, metadata = new Metadata()) {
  const stream = client.makeBidiStreamRequest(pathOf(execute), identity, identity, metadata);
  const responses: ExecuteResponse[] = [];
  const status = new Promise<{ metadata: Metadata }>((resolve, reject) => {
    stream.on("status", resolve);
    stream.on("error", (error: ServiceError) => reject(error));
  });
  status.catch(() => {});
  stream.on("data", (bytes: Buffer) => responses.push(fromBinary(ExecuteResponseSchema, bytes)));
  return {
    stream,
    responses,
    status,
    get failure() {
      return failureOf(status);
    },
  };
}

/** Slowness has no condition but time. */
async function lasting(ms: number): Promise<void> {
  const since = Date.now();
  await until(() => Date.now() - since >= ms, "time passes");
}

/** Waits until a number has stopped to grow. */
async function settled(read: () => number): Promise<void> {
  let last = -1;
  let since = Date.now();
  await until(() => {
    if (read() !== last) since = Date.now();
    last = read();
    return last > 0 && Date.now() - since > 300;
  }, "nothing moves any more");
}
