import type { Collection, Documents } from "../../internal/cqrs/documents.ts";
import { startFreshness } from "../../internal/cqrs/query/freshness.ts";
import { type GrpcServer, startGrpcServer } from "../../internal/grpc/server.ts";
import { errorDomain } from "../../internal/orders/error-domain.ts";
import { orderViews } from "../../internal/orders/projection/views.ts";
import type { Logger } from "../../internal/platform/logging.ts";
import { orderQueryService } from "./service.ts";

export interface QueryServiceConfig {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

/** The gRPC server of the read side. It needs the documents only, and as many of it as wanted may run. */
export async function startQueryService(
  address: QueryServiceConfig,
  { documents, logger }: { readonly documents: Documents; readonly logger: Logger },
) {
  const onError = (err: unknown): void =>
    logger.warn({ err }, "which generations are live could not be read; it is read again with their next change");
  const freshness = await startFreshness({ documents, views: orderViews, onError });
  freshness.onSetBack(() => logger.warn("the documents have gone back: what was known of them is forgotten"));
  const service = orderQueryService({ freshness });
  const server: GrpcServer = await startGrpcServer({ ...address, services: [service], errorDomain, logger });
  return {
    address: server.address,
    port: server.port,
    setServing: server.setServing,
    /** The collections that queries read now, with the indexes that they need. */
    collections: (): readonly Collection[] => orderViews.map((view) => ({ ...view.collection, name: freshness.collection(view) })),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await freshness[Symbol.asyncDispose]();
    },
  };
}
