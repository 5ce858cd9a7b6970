import { MessageChannel, type MessagePort } from "node:worker_threads";
import { afterEach, expect, it } from "vitest";
import { createPortClient, type PortRequest, servePort } from "./port-rpc.ts";

interface Arithmetic {
  double(value: number): number;
  never(value: null): void;
  refuse(message: string): void;
}

class RefusedError extends Error {
  override readonly name = "RefusedError";
}

class ClosedError extends Error {}

let ports: MessagePort[] = [];

afterEach(() => {
  for (const port of ports) port.close();
  ports = [];
});

function connect(onMessage: (requests: readonly PortRequest<Arithmetic>[]) => void = () => {}) {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  const server = servePort<Arithmetic, string>(port2, (requests) => {
    onMessage(requests);
    for (const request of requests) serve(request);
  });
  const client = createPortClient<Arithmetic, string>(port1, {
    errors: { RefusedError },
    closedError: () => new ClosedError("closed"),
  });
  return { client, server };
}

function serve(request: PortRequest<Arithmetic>) {
  switch (request.method) {
    case "double":
      return request.answer(request.argument * 2);
    case "refuse":
      return request.fail(request.argument === "type" ? new TypeError("type") : new RefusedError(request.argument));
    case "never":
      return;
  }
}

it("the calls of one turn travel in one message", async () => {
  const batches: number[] = [];
  const { client } = connect((requests) => batches.push(requests.length));
  const calls = [client.call("double", 1), client.call("double", 2)];
  queueMicrotask(() => calls.push(client.call("double", 3)));
  await Promise.resolve();
  expect(await Promise.all(calls)).toEqual([2, 4, 6]);
  expect(await client.call("double", 4)).toBe(8);
  expect(batches).toEqual([3, 1]);
});

it("an error keeps its class if the client knows it, and its name otherwise", async () => {
  const { client } = connect();
  await expect(client.call("refuse", "no")).rejects.toThrow(RefusedError);
  await expect(client.call("refuse", "no")).rejects.toThrow("no");
  await expect(client.call("refuse", "type")).rejects.toMatchObject({ name: "TypeError", message: "type" });
});

it("a push arrives behind the answers that were given before it", async () => {
  const order: string[] = [];
  const { client, server } = connect(() => queueMicrotask(() => server.push("pushed")));
  const pushed = Promise.withResolvers<void>();
  client.onPush((message) => {
    // Behind the reactions to the answers, which are microtasks.
    queueMicrotask(() => {
      order.push(message);
      pushed.resolve();
    });
  });
  void client.call("double", 1).then(() => order.push("answered"));
  await pushed.promise;
  expect(order).toEqual(["answered", "pushed"]);
});

it("a port that closes rejects the calls that wait and the calls to come", async () => {
  const { client, server } = connect(() => setImmediate(() => server.close()));
  await expect(client.call("never", null)).rejects.toThrow(ClosedError);
  await expect(client.call("double", 1)).rejects.toThrow(ClosedError);
  await client.close();
});

it("close waits for the answers that are due and takes no more calls", async () => {
  const { client } = connect();
  const due = client.call("double", 21);
  const closed = client.close();
  await expect(client.call("double", 1)).rejects.toThrow(ClosedError);
  expect(await due).toBe(42);
  await closed;
});
