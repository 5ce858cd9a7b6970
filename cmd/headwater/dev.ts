import { resolve } from "node:path";
import { createLogger } from "../../internal/platform/logging.ts";
import { live } from "../../internal/process/live.ts";
import { type DevConfig, describeDevOptions, parseDevConfig } from "./config.ts";
import { type DevApp, startDev } from "./dev-app.ts";

export const devHelp = `headwater dev: the whole system in one process, on an embedded log and document store

Usage: headwater dev [options]

Options:
${describeDevOptions()}
`;

/** Runs until SIGTERM or SIGINT, or until a part of it fails. Returns the exit code. */
export function dev(args: readonly string[]): Promise<number> {
  return live({
    name: "headwater dev",
    help: "headwater dev --help shows all options.",
    configure() {
      const config = parseDevConfig({ args, environment: process.env });
      return {
        logger: createLogger({ app: "headwater", level: config.logLevel }),
        async start(context) {
          const app = await startDev(config, context);
          // The stores are threads of this process: where they are, they answer.
          return { announcement: startScreen(app, config), check: () => Promise.resolve(), ended: app.failed };
        },
      };
    },
  });
}

function startScreen({ commandAddress, queryAddress, gatewayAddress }: DevApp, { directory }: DevConfig): string {
  return `
  Headwater is running.

  commands   grpc://${commandAddress}
  queries    grpc://${queryAddress}
  gateway    http://${gatewayAddress}   (Connect, gRPC-Web, JSON)
  data       ${directory === null ? "in memory, gone when this process stops" : resolve(directory)}

  Send a first order:

  grpcurl -plaintext -d '{"order_id": "order-1", "currency_code": "EUR", "customer_id": "ada",
    "lines": [{"sku": "TEA", "description": "Green tea", "quantity": 2, "unit_price": {"currency_code": "EUR", "minor_units": 450}}],
    "shipping_address": {"country": "Ireland"}}' ${commandAddress} headwater.orders.v1.OrderCommandService/CreateOrder

  grpcurl -plaintext -d '{"order_id": "order-1"}' ${queryAddress} headwater.orders.v1.OrderQueryService/GetOrder

  Ctrl+C stops it${directory === null ? ", and nothing is kept" : "; nothing that was acknowledged is lost"}.

`;
}
