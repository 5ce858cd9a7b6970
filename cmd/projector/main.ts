import { generationsCollection } from "../../internal/cqrs/projector/generations.ts";
import { deployedDomains, topicsOf } from "../../internal/domains.ts";
import { startBackgroundProcess } from "../../internal/process/background.ts";
import { openKafka } from "../../internal/process/kafka.ts";
import { openMongo } from "../../internal/process/mongo.ts";
import { hostOption, instanceOption, kafkaOptions, mongoOptions, projectorPortOption } from "../../internal/process/options.ts";
import { runProcess } from "../../internal/process/run.ts";
import { runProjectors } from "./app.ts";

const name = "projector";

/** A process of its own holds nobody up: the more it takes at once, the fewer times it writes each document. Some tens of megabytes. */
const BATCH_EVENTS = 4_000;

/** Less, since the live projection shares the thread; but what one write to MongoDB waits for is the same for few documents as for many. */
const BUILD_BATCH_EVENTS = 2_000;

await runProcess({
  name,
  about: "keeps the documents of all views up to date with the events; instances share the partitions",
  options: { ...instanceOption, ...hostOption, ...projectorPortOption, ...kafkaOptions, ...mongoOptions },
  async start(config, context) {
    const { logger, signal, stack } = context;
    const { instance, host } = config;
    const domains = deployedDomains(config.namespace);
    const client = { clientId: `headwater-${name}-${instance}`, topics: topicsOf(domains), stateDirectory: null };
    const log = stack.use(await openKafka(config, client, { logger, signal }));
    const documents = stack.use(await openMongo(config, { logger, signal }));
    return startBackgroundProcess({
      ...context,
      host,
      healthPort: config["projector-health-port"],
      healthPortOption: "projector-health-port",
      run: (stopped, onProgress) =>
        runProjectors(
          { domains, instance, batchEvents: BATCH_EVENTS, buildBatchEvents: BUILD_BATCH_EVENTS, onProgress },
          { log, documents },
          stopped,
        ),
      check: () =>
        Promise.all([...domains.map(({ topics }) => log.ends(topics.events.name)), documents.checkpoints(generationsCollection.name)]),
    });
  },
});
