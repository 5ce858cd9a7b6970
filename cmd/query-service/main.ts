import type { Collection } from "../../internal/cqrs/documents.ts";
import type { MongoDocuments } from "../../internal/documents/mongo/connect.ts";
import { domains } from "../../internal/domains.ts";
import { atPort } from "../../internal/process/at-port.ts";
import { openMongo } from "../../internal/process/mongo.ts";
import { hostOption, mongoOptions, queryPortOption } from "../../internal/process/options.ts";
import { runProcess } from "../../internal/process/run.ts";
import { startQueryService } from "./app.ts";

await runProcess({
  name: "query-service",
  about: "answers queries over gRPC from the documents; as many as wanted may run",
  options: { ...hostOption, ...queryPortOption, ...mongoOptions },
  async start(config, { logger, signal, stack }) {
    const { host, "query-port": port } = config;
    const documents = stack.use(await openMongo(config, { logger, signal }));
    const app = stack.use(await atPort("query-port", () => startQueryService({ domains, host, port }, { documents, logger })));
    const check = () => checkIndexes(documents, app.collections());
    return { status: `serves on ${app.address}`, check, setServing: app.setServing };
  },
});

/** @throws {Error} an index is missing: its queries would read whole collections */
async function checkIndexes(documents: MongoDocuments, collections: readonly Collection[]): Promise<void> {
  const [missing] = await documents.missingIndexes(collections);
  if (missing === undefined) return;
  throw new Error(`the index ${missing.index} of ${missing.collection} is missing; has a projector run?`);
}
