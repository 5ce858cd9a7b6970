import { once } from "node:events";
import { resolve } from "node:path";
import { ConfigError } from "../../internal/platform/config.ts";
import { createLogger } from "../../internal/platform/logging.ts";
import { type DevConfig, describeDevOptions, parseDevConfig } from "./config.ts";
import { type DevApp, startDev } from "./dev-app.ts";

export const devHelp = `headwater dev: the whole system in one process, on an embedded log and document store

Usage: headwater dev [options]

Options:
${describeDevOptions()}
`;

/** Runs until SIGTERM or SIGINT, or until a part of it fails. Returns the exit code. */
export async function dev(args: readonly string[]): Promise<number> {
  try {
    const config = parseDevConfig({ args, environment: process.env });
    const logger = createLogger({ app: "headwater", level: config.logLevel });
    await using app = await startDev(config, logger);
    process.stdout.write(startScreen(app, config));
    await Promise.race([once(process, "SIGTERM"), once(process, "SIGINT"), app.failed]);
    process.stdout.write("stopping: running calls may finish …\n");
    return 0;
  } catch (error) {
    const hint = error instanceof ConfigError ? "\nheadwater dev --help shows all options." : "";
    process.stderr.write(`headwater dev: ${reason(error)}${hint}\n`);
    return 1;
  }
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

  Ctrl+C stops it; nothing that was acknowledged is lost.

`;
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ("code" in error && error.code === "EADDRINUSE") return `${error.message}; stop what listens there, or choose another port (--help)`;
  return error.message;
}
