/** Headwater over Connect or gRPC-Web, for browsers and everything else that has `fetch`. */

import type { Interceptor } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { createHeadwater, type Headwater } from "./headwater.ts";

/** Where the gateway is, and how to speak to it. */
export interface WebOptions {
  /** Where the gateway listens, such as https://orders.example.com. */
  readonly baseUrl: string;
  /** Default: "connect", whose calls are plain HTTP with JSON: readable in the browser's network tab. */
  readonly protocol?: "connect" | "grpc-web";
  /** See and change every call, such as to add credentials. */
  readonly interceptors?: readonly Interceptor[];
}

/** Without `bulk`: `fetch` cannot send and receive on one stream. */
export type WebHeadwater = Omit<Headwater, "bulk">;

/** Connects both services through one gateway. */
export function connectWeb({ baseUrl, protocol = "connect", interceptors = [] }: WebOptions): WebHeadwater {
  const options = { baseUrl, interceptors: [...interceptors] };
  const transport = protocol === "connect" ? createConnectTransport(options) : createGrpcWebTransport(options);
  const { commands, queries, session } = createHeadwater({ commands: transport, queries: transport });
  return { commands, queries, session };
}
