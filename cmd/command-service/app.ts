import { randomUUID } from "node:crypto";
import { createCommandGateway } from "../../internal/cqrs/command/command-gateway.ts";
import type { Log } from "../../internal/cqrs/log.ts";
import { type GrpcServer, startGrpcServer } from "../../internal/grpc/server.ts";
import { errorDomain } from "../../internal/orders/error-domain.ts";
import { orderDomain } from "../../internal/orders/order-domain.ts";
import { orderViewNames } from "../../internal/orders/projection/views.ts";
import { systemClock } from "../../internal/platform/clock.ts";
import type { Logger } from "../../internal/platform/logging.ts";
import { orderCommandService } from "./service.ts";

export interface CommandServiceConfig {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

/** The gRPC server of the write side. It needs the log only, and as many of it as wanted may run. */
export async function startCommandService(config: CommandServiceConfig, { log, logger }: { readonly log: Log; readonly logger: Logger }) {
  const gateway = await createCommandGateway({ log, domain: orderDomain, clock: systemClock, instance: randomUUID() });
  const stream = { id: log.topicId(orderDomain.topics.events.name), partitions: log.partitions };
  const service = orderCommandService({ gateway, stream, views: orderViewNames, logger });
  const server: GrpcServer = await startGrpcServer({ ...config, services: [service], errorDomain, logger });
  return {
    address: server.address,
    port: server.port,
    setServing: server.setServing,
    check: gateway.check,
    /** Rejects when the log refuses what every command needs; never resolves. */
    refused: gateway.refused,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await gateway[Symbol.asyncDispose]();
    },
  };
}
