import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { Code, createClient } from "@connectrpc/connect";
import { pino } from "pino";
import { expect, it, onTestFinished } from "vitest";
import { OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { type GrpcServer, startGrpcServer } from "../../internal/grpc/server.ts";
import { grpcService, type Implementation } from "../../internal/grpc/service.ts";
import { connectUpstream } from "./upstream.ts";

const CALLS = 60;

/** All of this machine, as if each were another one. */
const hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"] as const;

it("calls and watches are spread over all addresses, and over a new one soon", async () => {
  const { addresses, call, watch } = await startInstances(2);
  expect(await sharesOf(call)).toEqual([CALLS / 2, CALLS / 2, 0]);
  expect(await sharesOf(watch)).toEqual([CALLS / 2, CALLS / 2, 0]);
  addresses.push(hosts[2]);
  await call();
  const [, , scaledOut = 0] = await sharesOf(call);
  expect(scaledOut).toBeGreaterThanOrEqual(CALLS / 3);
});

it("an address that is gone gets nothing more, and one that does not answer is passed over", async () => {
  const { addresses, call, servers } = await startInstances(3);
  expect(await sharesOf(call)).toEqual([CALLS / 3, CALLS / 3, CALLS / 3]);
  addresses.shift();
  await call();
  const [gone] = await sharesOf(call);
  expect(gone).toBe(0);
  await servers[1]?.[Symbol.asyncDispose]();
  expect(await sharesOf(call)).toEqual([0, 0, CALLS]);
});

it("calls fail when no address answers, and are answered when one does again", async () => {
  const { call, servers, port } = await startInstances(1);
  await call();
  await servers[0]?.[Symbol.asyncDispose]();
  await expect(call()).rejects.toMatchObject({ code: Code.Unavailable });
  await startInstance(hosts[0], port);
  await expect.poll(() => call().catch(() => undefined), { timeout: 60_000 }).toBe(hosts[0]);
});

it("an address that swallows handshakes holds calls for seconds, once, and is passed over", { timeout: 60_000 }, async () => {
  const { addresses, call, port } = await startInstances(1);
  await call();
  const silent = "127.0.0.9";
  await swallowHandshakes(silent, port);
  addresses.unshift(silent);
  // The name is resolved behind the call.
  await call();
  expect(await Promise.all(Array.from({ length: CALLS }, call))).toEqual(Array.from({ length: CALLS }, () => hosts[0]));
  const again = performance.now();
  await call();
  expect(performance.now() - again).toBeLessThan(3_000);
});

it("a resolver that does not answer holds up nobody who knows an address", async () => {
  const { call, hang } = await startInstances(1);
  await call();
  hang();
  expect(await call()).toBe(hosts[0]);
});

it("a name that cannot be resolved is still what it was", async () => {
  const { addresses, call } = await startInstances(2);
  await call();
  addresses.length = 0;
  const [first = 0, second = 0] = await sharesOf(call);
  expect(first + second).toBe(CALLS);
  // The call before may not have ended.
  expect(Math.abs(first - second)).toBeLessThanOrEqual(2);
});

/** Servers on one port of several addresses, and what calls them by one name. */
async function startInstances(count: number) {
  const first = await startInstance(hosts[0], 0);
  const port = Number(first.address.slice(first.address.lastIndexOf(":") + 1));
  const others = await Promise.all(hosts.slice(1).map((host) => startInstance(host, port)));
  const addresses: string[] = hosts.slice(0, count);
  let isHanging = false;
  const resolve = async (): Promise<readonly string[]> => {
    if (isHanging) return Promise.withResolvers<never>().promise;
    if (addresses.length === 0) throw new Error("no such name");
    return [...addresses];
  };
  const upstream = connectUpstream(`http://orders.example:${port}`, { resolve, resolveEveryMs: 0 });
  onTestFinished(() => upstream.close());
  const client = createClient(OrderQueryService, upstream.transport);
  return {
    port,
    servers: [first, ...others],
    addresses,
    hang: () => {
      isHanging = true;
    },
    call: async () => (await client.getOrder({ orderId: "a" })).order?.orderId ?? "",
    async watch() {
      for await (const { order } of client.watchOrder({ orderId: "a" })) return order?.orderId ?? "";
      return "";
    },
  };
}

/** A server that answers with its address. */
async function startInstance(host: string, port: number): Promise<GrpcServer> {
  const implementation: Partial<Implementation<typeof OrderQueryService>> = {
    getOrder: () => Promise.resolve({ order: { orderId: host } }),
    async *watchOrder() {
      yield { order: { orderId: host } };
    },
  };
  const services = [grpcService(OrderQueryService, implementation as Implementation<typeof OrderQueryService>)];
  const server = await startGrpcServer({ host, port, services, errorDomain: "orders.headwater", logger: pino({ level: "silent" }) });
  server.setServing(true);
  onTestFinished(() => server[Symbol.asyncDispose]());
  return server;
}

/** Listens, never accepts, and has its queue of connections full: what comes gets no answer at all. */
async function swallowHandshakes(host: string, port: number): Promise<void> {
  const listen = `import("node:net").then(({ createServer }) => createServer().listen({ host: "${host}", port: ${port}, backlog: 1 }, () => console.log()))`;
  const listener = spawn(process.execPath, ["--eval", listen], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void listener.kill("SIGKILL"));
  await once(listener.stdout, "data");
  listener.kill("SIGSTOP");
  for (let isFull = false; !isFull; ) {
    const socket = connect({ host, port, timeout: 500 });
    onTestFinished(() => void socket.destroy());
    isFull = await Promise.race([once(socket, "connect").then(() => false), once(socket, "timeout").then(() => true)]);
  }
}

/** How many of the calls each address has answered. */
async function sharesOf(call: () => Promise<string>): Promise<readonly number[]> {
  const answers = await Promise.all(Array.from({ length: CALLS }, call));
  return hosts.map((host) => answers.filter((answer) => answer === host).length);
}
