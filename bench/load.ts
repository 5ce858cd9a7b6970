/** A closed loop of unary calls: `callers` at once, each with its next request as soon as it has its answer. Runs as a process of its own. */

import { ChannelCredentials, Client } from "@grpc/grpc-js";

export interface Load {
  readonly address: string;
  /** Full method path and encoded request, per call. */
  readonly calls: readonly (readonly [string, Uint8Array])[];
  readonly callers: number;
  /** Connections; a grpc-js client has one. */
  readonly connections: number;
}

export interface LoadResult {
  readonly calls: number;
  readonly failed: number;
  readonly firstError: string | undefined;
  readonly seconds: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
}

export async function runLoad({ address, calls, callers, connections }: Load): Promise<LoadResult> {
  const options = { "grpc.use_local_subchannel_pool": 1 };
  const clients = Array.from({ length: connections }, () => new Client(address, ChannelCredentials.createInsecure(), options));
  const latencies = new Float64Array(calls.length);
  let next = 0;
  let failed = 0;
  let firstError: string | undefined;

  const call = (client: Client, index: number): Promise<void> =>
    new Promise((resolve) => {
      const [path, request] = calls[index] ?? ["", new Uint8Array()];
      const startedMs = performance.now();
      client.makeUnaryRequest(path, (bytes: Buffer) => bytes, (bytes: Buffer) => bytes, Buffer.from(request), (error) => {
        latencies[index] = performance.now() - startedMs;
        if (error !== null) {
          failed += 1;
          firstError ??= error.message;
        }
        resolve();
      });
    });
  const caller = async (number: number): Promise<void> => {
    const client = clients[number % clients.length];
    if (client === undefined) return;
    while (next < calls.length) await call(client, next++);
  };

  const startedMs = performance.now();
  await Promise.all(Array.from({ length: callers }, (_, number) => caller(number)));
  const seconds = (performance.now() - startedMs) / 1000;
  for (const client of clients) client.close();
  latencies.sort();
  const at = (share: number): number => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0;
  return { calls: calls.length, failed, firstError, seconds, perSecond: calls.length / seconds, p50Ms: at(0.5), p95Ms: at(0.95), p99Ms: at(0.99) };
}
