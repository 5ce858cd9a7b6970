/** Everything in one process: the servers on this thread, SQLite and the background work on threads of their own. */

import { openEmbeddedDocuments } from "../../internal/documents/embedded/open.ts";
import { deployedDomains, topicsOf } from "../../internal/domains.ts";
import { openEmbeddedLog } from "../../internal/log/embedded/open.ts";
import { startThread } from "../../internal/platform/thread.ts";
import { atPort } from "../../internal/process/at-port.ts";
import type { ProcessContext } from "../../internal/process/live.ts";
import { startCommandService } from "../command-service/app.ts";
import { startGateway } from "../gateway/app.ts";
import { startQueryService } from "../query-service/app.ts";
import type { BackgroundData } from "./background-worker.ts";
import type { DevConfig } from "./config.ts";
import { startOperatorServer } from "./system/operator-server.ts";

export interface DevApp {
  readonly commandAddress: string;
  readonly queryAddress: string;
  readonly gatewayAddress: string;
  /** Rejects when a part of it fails; never resolves. */
  readonly failed: Promise<never>;
}

/** Resolves when it serves. */
export async function startDev(config: DevConfig, { logger, stack }: Omit<ProcessContext, "signal">): Promise<DevApp> {
  const { host, directory, partitions } = config;
  const domains = deployedDomains();
  const log = stack.use(await openEmbeddedLog({ directory, partitions, topics: topicsOf(domains) }));
  const documents = stack.use(await openEmbeddedDocuments(directory === null ? { inMemory: true } : { directory }));

  const ports: BackgroundData = {
    log: log.connect(),
    documents: documents.connect(),
    durable: directory !== null,
    logLevel: config.logLevel,
  };
  const background = startThread(new URL("./background-worker.ts", import.meta.url), {
    name: "background",
    workerData: ports,
    transferList: [ports.log, ports.documents],
  });
  stack.defer(async () => {
    background.expectEnd();
    background.worker.postMessage("stop");
    await background.ended;
  });
  const query = stack.use(
    await atPort("query-port", () => startQueryService({ domains, host, port: config.queryPort }, { documents, logger })),
  );
  const command = stack.use(
    await atPort("command-port", () => startCommandService({ domains, host, port: config.commandPort }, { log, logger })),
  );
  const failed = Promise.race([background.failed, log.failed, documents.failed, command.refused]);
  failed.catch(() => undefined);
  const urls = { commandUrl: `http://${command.address}`, queryUrl: `http://${query.address}` };
  const gateway = stack.use(await atPort("gateway-port", () => startGateway({ host, port: config.gatewayPort, ...urls, logger })));

  await Promise.race([Promise.all([background.started, command.check(new AbortController().signal)]), failed]);
  command.setServing(true);
  query.setServing(true);

  if (directory !== null) stack.use(await startOperatorServer(directory, { log, documents }));

  return {
    commandAddress: command.address,
    queryAddress: query.address,
    gatewayAddress: gateway.address,
    failed,
  };
}
