import { join } from "node:path";
import { deployedDomains, topicsOf } from "../../internal/domains.ts";
import { startBackgroundProcess } from "../../internal/process/background.ts";
import { openKafka } from "../../internal/process/kafka.ts";
import { handlerPortOption, hostOption, instanceOption, kafkaOptions, stateOption } from "../../internal/process/options.ts";
import { runProcess } from "../../internal/process/run.ts";
import { runCommandHandlers } from "./app.ts";

const name = "command-handler";

await runProcess({
  name,
  about: "decides commands and writes their events; instances share the partitions",
  options: { ...instanceOption, ...stateOption, ...hostOption, ...handlerPortOption, ...kafkaOptions },
  async start(config, context) {
    const { logger, signal, stack } = context;
    const { instance, host } = config;
    const domains = deployedDomains(config.namespace);
    const client = {
      clientId: `headwater-${name}-${instance}`,
      topics: topicsOf(domains),
      stateDirectory: join(config.state, instance),
    };
    const log = stack.use(await openKafka(config, client, { logger, signal }));
    let waiting: readonly string[] = [];
    const onWaiting = (reasons: readonly string[]): void => {
      waiting = reasons;
    };
    return startBackgroundProcess({
      ...context,
      host,
      healthPort: config["handler-health-port"],
      healthPortOption: "handler-health-port",
      run: (stopped, onProgress) => runCommandHandlers({ domains, instance, onProgress, onWaiting }, { log, logger }, stopped),
      async check() {
        if (waiting.length > 0) throw new Error(waiting.join("; "));
        await Promise.all(domains.map(({ topics }) => log.ends(topics.commands.name)));
      },
    });
  },
});
