import { deployedDomains, topicsOf } from "../../internal/domains.ts";
import { atPort } from "../../internal/process/at-port.ts";
import { openKafka } from "../../internal/process/kafka.ts";
import { commandPortOption, hostOption, kafkaOptions } from "../../internal/process/options.ts";
import { runProcess } from "../../internal/process/run.ts";
import { startCommandService } from "./app.ts";

const name = "command-service";

await runProcess({
  name,
  about: "takes commands over gRPC and answers with their outcome; as many as wanted may run",
  options: { ...hostOption, ...commandPortOption, ...kafkaOptions },
  async start(config, { logger, signal, stack }) {
    const domains = deployedDomains(config.namespace);
    const log = stack.use(
      await openKafka(config, { clientId: `headwater-${name}`, topics: topicsOf(domains), stateDirectory: null }, { logger, signal }),
    );
    const app = stack.use(
      await atPort("command-port", () =>
        startCommandService({ domains, host: config.host, port: config["command-port"] }, { log, logger }),
      ),
    );
    return { status: `serves on ${app.address}`, check: app.check, setServing: app.setServing, ended: app.refused };
  },
});
