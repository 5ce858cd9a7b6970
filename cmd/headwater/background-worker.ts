/** The thread of the command-handler and the projector. */

import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { connectEmbeddedDocuments } from "../../internal/documents/embedded/connect.ts";
import { deployedDomains } from "../../internal/domains.ts";
import { connectEmbeddedLog } from "../../internal/log/embedded/client.ts";
import { startBackground } from "../../internal/platform/background.ts";
import { createLogger, type LogLevel } from "../../internal/platform/logging.ts";
import { workThroughOutages } from "../../internal/process/outages.ts";
import { runCommandHandlers } from "../command-handler/app.ts";
import { runProjectors } from "../projector/app.ts";

export interface BackgroundData {
  readonly log: MessagePort;
  readonly documents: MessagePort;
  readonly durable: boolean;
  readonly logLevel: LogLevel;
}

const domains = deployedDomains();
const data = workerData as BackgroundData;
const logger = createLogger({ app: "headwater-background", level: data.logLevel });
const log = await connectEmbeddedLog(data.log, { durable: data.durable });
const documents = connectEmbeddedDocuments(data.documents);
const [handling, projecting] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
const apps = [
  startBackground((signal) =>
    workThroughOutages(
      (stopped) => runCommandHandlers({ domains, instance: "dev", onProgress: handling.resolve }, { log, logger }, stopped),
      {
        logger,
        signal,
      },
    ),
  ),
  startBackground((signal) =>
    workThroughOutages(
      (stopped) => runProjectors({ domains, instance: "dev", onProgress: projecting.resolve }, { log, documents }, stopped),
      {
        logger,
        signal,
      },
    ),
  ),
];

parentPort?.on("message", () => void stop());
// Both have joined their groups, and what queries need is prepared.
void Promise.all([handling.promise, projecting.promise]).then(() => parentPort?.postMessage("working"));
// A disk that is full passes, and is waited for. Any other failure ends the thread, and with it the process: the log knows what was done,
// so the next start goes on from there.
await Promise.all(apps.map((app) => app.stopped));

async function stop(): Promise<void> {
  await Promise.all(apps.map((app) => app[Symbol.asyncDispose]()));
  await documents[Symbol.asyncDispose]();
  await log[Symbol.asyncDispose]();
  parentPort?.close();
}
