import { atPort } from "../../internal/process/at-port.ts";
import { gatewayOptions } from "../../internal/process/options.ts";
import { runProcess } from "../../internal/process/run.ts";
import { startGateway } from "./app.ts";

await runProcess({
  name: "gateway",
  about: "offers both services to browsers, as Connect, gRPC-Web and JSON; as many as wanted may run",
  options: gatewayOptions,
  async start(config, { logger, stack }) {
    const { host, "gateway-port": port, "command-url": commandUrl, "query-url": queryUrl } = config;
    const allowed = { allowedOrigins: config["allowed-origins"], allowedHosts: config["allowed-hosts"] };
    const gateway = stack.use(await atPort("gateway-port", () => startGateway({ host, port, commandUrl, queryUrl, ...allowed, logger })));
    return { status: `serves on http://${gateway.address}`, check: gateway.check };
  },
});
