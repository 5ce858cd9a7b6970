import { randomUUID } from "node:crypto";
import { type CommandGateway, createCommandGateway } from "../../internal/cqrs/command/command-gateway.ts";
import type { DeployedDomain } from "../../internal/cqrs/domain.ts";
import type { Log } from "../../internal/cqrs/log.ts";
import { type GrpcServer, startGrpcServer } from "../../internal/grpc/server.ts";
import { systemClock } from "../../internal/platform/clock.ts";
import type { Logger } from "../../internal/platform/logging.ts";
import { commandService } from "../../internal/serving/command-service.ts";
import { SERVER_ERRORS } from "../../internal/serving/server-errors.ts";

export interface CommandServiceConfig {
  readonly domains: readonly DeployedDomain[];
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

/** The gRPC server of the write side. It needs the log only, and as many of it as wanted may run. */
export async function startCommandService(
  { domains, ...address }: CommandServiceConfig,
  { log, logger }: { readonly log: Log; readonly logger: Logger },
) {
  await using stack = new AsyncDisposableStack();
  const gateways: CommandGateway[] = [];
  const services = [];
  for (const domain of domains) {
    const gateway = stack.use(await createCommandGateway({ log, domain, clock: systemClock, instance: randomUUID() }));
    const stream = { id: log.topicId(domain.topics.events.name), partitions: log.partitions };
    gateways.push(gateway);
    services.push(commandService({ domain, gateway, stream, logger }));
  }
  const server: GrpcServer = stack.use(await startGrpcServer({ ...address, services, errorDomain: SERVER_ERRORS, logger }));
  const refused = Promise.race(gateways.map((gateway) => gateway.refused));
  // Who does not wait for it ends otherwise.
  refused.catch(() => undefined);
  const running = stack.move();
  return {
    address: server.address,
    port: server.port,
    setServing: server.setServing,
    check: async (signal: AbortSignal): Promise<void> => void (await Promise.all(gateways.map((gateway) => gateway.check(signal)))),
    /** Rejects when the log refuses what every command needs; never resolves. */
    refused,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
