/** The thread of the embedded log: SQLite's synchronous calls block it and nobody else. */

import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../../platform/clock.ts";
import { type PortServer, servePort } from "../../platform/port-rpc.ts";
import { Broker, type BrokerClient } from "./broker.ts";
import type { BrokerMethods, LivePush } from "./protocol.ts";
import { Scans } from "./scans.ts";
import { LogStore, type StoreOptions } from "./store.ts";

/** What the parent sends: a port to serve, or the wish to stop. */
export type WorkerMessage = { readonly connect: MessagePort } | { readonly stop: true };

const options = workerData as StoreOptions;
const servers = new Set<PortServer<LivePush>>();
const broker = new Broker(new LogStore(options), options.topics, systemClock);

parentPort?.on("message", (message: WorkerMessage) => {
  if ("connect" in message) serve(message.connect);
  else {
    broker.close();
    // An open port would keep this thread alive; whoever is at its other end learns that the log is closed.
    for (const server of servers) server.close();
    parentPort?.close();
  }
});
parentPort?.postMessage("ready");

function serve(port: MessagePort): void {
  const server = servePort<BrokerMethods, LivePush>(
    port,
    (requests) => {
      for (const request of requests) broker.handle(request, client);
    },
    () => {
      servers.delete(server);
      broker.disconnect(client);
    },
  );
  servers.add(server);
  const client: BrokerClient = { push: (message) => server.push(message), listens: new Set(), members: new Set(), scans: new Scans() };
  broker.connect(client);
}
