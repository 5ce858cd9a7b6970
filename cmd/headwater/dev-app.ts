/** Everything in one process: the servers on this thread, SQLite and the background work on threads of their own. */

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { openEmbeddedDocuments } from "../../internal/documents/embedded/open.ts";
import { openEmbeddedLog } from "../../internal/log/embedded/open.ts";
import { orderTopics } from "../../internal/orders/topics.ts";
import type { Logger } from "../../internal/platform/logging.ts";
import { startCommandService } from "../command-service/app.ts";
import { startGateway } from "../gateway/app.ts";
import { startQueryService } from "../query-service/app.ts";
import type { BackgroundData } from "./background-worker.ts";
import type { DevConfig } from "./config.ts";
import { startOperatorServer } from "./system/operator-server.ts";

export interface DevApp extends AsyncDisposable {
  readonly commandAddress: string;
  readonly queryAddress: string;
  readonly gatewayAddress: string;
  /** Rejects when a part of it fails; never resolves. */
  readonly failed: Promise<never>;
}

export async function startDev(config: DevConfig, logger: Logger): Promise<DevApp> {
  await using stack = new AsyncDisposableStack();
  const { host, directory, partitions } = config;
  const log = stack.use(await openEmbeddedLog({ directory, partitions, topics: Object.values(orderTopics) }));
  const documents = stack.use(await openEmbeddedDocuments(directory === null ? { inMemory: true } : { directory }));

  const ports: BackgroundData = {
    log: log.connect(),
    documents: documents.connect(),
    durable: directory !== null,
    logLevel: config.logLevel,
  };
  const background = new Worker(new URL("./background-worker.ts", import.meta.url), {
    workerData: ports,
    transferList: [ports.log, ports.documents],
  });
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  background.on("error", failed.reject);
  log.failed.catch(failed.reject);
  stack.defer(async () => {
    const exited = once(background, "exit");
    background.postMessage("stop");
    await exited;
  });
  const working = once(background, "message");
  working.catch(() => undefined);
  const query = stack.use(await startQueryService({ host, port: config.queryPort }, { documents, logger }));
  const command = stack.use(await startCommandService({ host, port: config.commandPort }, { log, logger }));
  const urls = { commandUrl: `http://${command.address}`, queryUrl: `http://${query.address}` };
  const gateway = stack.use(await startGateway({ host, port: config.gatewayPort, ...urls, logger }));

  await Promise.race([Promise.all([working, command.check(new AbortController().signal)]), failed.promise]);
  command.setServing(true);
  query.setServing(true);

  if (directory !== null) stack.use(await startOperatorServer(directory, { log, documents }));

  const owned = stack.move();
  return {
    commandAddress: command.address,
    queryAddress: query.address,
    gatewayAddress: gateway.address,
    failed: failed.promise,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
