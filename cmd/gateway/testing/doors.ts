/** The doors of the system, with bounds of a test's choice, and handlers behind them. */

import { once } from "node:events";
import { status as Code } from "@grpc/grpc-js";
import { OrderCommandService } from "../../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import type { Call } from "../../../internal/grpc/call.ts";
import type { GrpcLimits } from "../../../internal/grpc/limits.ts";
import { encode, frame, type Handlers, startTestServer } from "../../../internal/grpc/testing/harness.ts";
import { makeCall, openSessions } from "../../../internal/grpc/testing/raw-calls.ts";
import { startGateway } from "../app.ts";

const { getOrder } = OrderQueryService.method;
const { execute } = OrderCommandService.method;
export const request = frame(encode(getOrder.input, { orderId: "o-1" }));
export const command = (orderId: string) =>
  frame(encode(execute.input, { command: { command: { case: "placeOrder", value: { orderId, options: { commandId: orderId } } } } }));

export interface Door extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  callsInProgress(): number;
  /** Stops it as SIGTERM does. */
  stop(): Promise<void>;
}

/** Each with the handlers of the services and with bounds. */
export const doors: Readonly<Record<string, (handlers: Handlers, limits?: Partial<GrpcLimits>) => Promise<Door>>> = {
  async "a gRPC port"(handlers, limits) {
    const { server } = await startTestServer(handlers, limits);
    const { address, port, callsInProgress } = server;
    const stop = async () => {
      await server[Symbol.asyncDispose]();
    };
    return { address, port, callsInProgress, stop, [Symbol.asyncDispose]: stop };
  },

  async "the gateway"(handlers, limits = {}) {
    const service = await startTestServer(handlers);
    const url = `http://${service.server.address}`;
    const gateway = await startGateway({ host: "127.0.0.1", port: 0, commandUrl: url, queryUrl: url, limits });
    const { address, port, callsInProgress } = gateway;
    const stop = async () => {
      await gateway[Symbol.asyncDispose]();
    };
    return {
      address,
      port,
      callsInProgress,
      stop,
      async [Symbol.asyncDispose]() {
        await stop();
        await service[Symbol.asyncDispose]();
      },
    };
  },
};

export const answering: Handlers = {
  query: {
    getOrder: async ({ orderId }) => ({ order: { orderId } }),
    async *watchOrder(_, { signal }) {
      yield {};
      if (!signal.aborted) await once(signal, "abort");
    },
  },
  command: {
    async *execute(requests) {
      for await (const { command: each } of requests) yield { commandId: each?.command.value?.options?.commandId ?? "" };
    },
  },
};

/** Calls of getOrder wait until they are released or nobody waits for them. */
export function waiting() {
  const release = Promise.withResolvers<object>();
  const calls: Call[] = [];
  const handlers: Handlers = {
    ...answering,
    query: {
      ...answering.query,
      getOrder(_, call) {
        calls.push(call);
        return release.promise;
      },
    },
  };
  return { handlers, calls, release: () => release.resolve({}) };
}

/** Whether an honest caller is answered. */
export async function answers({ address }: Door): Promise<boolean> {
  using sessions = openSessions(address, 1);
  const { code } = await makeCall(sessions.first, getOrder, request).status;
  return code === Code.OK;
}
