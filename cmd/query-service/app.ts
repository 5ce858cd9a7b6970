import type { Collection, Documents } from "../../internal/cqrs/documents.ts";
import type { Domain } from "../../internal/cqrs/domain.ts";
import { type Freshness, startFreshness } from "../../internal/cqrs/query/freshness.ts";
import { type GrpcServer, startGrpcServer } from "../../internal/grpc/server.ts";
import type { Logger } from "../../internal/platform/logging.ts";
import { queryService } from "../../internal/serving/query-service.ts";
import { SERVER_ERRORS } from "../../internal/serving/server-errors.ts";

export interface QueryServiceConfig {
  readonly domains: readonly Domain[];
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

/** The gRPC server of the read side. It needs the documents only, and as many of it as wanted may run. */
export async function startQueryService(
  { domains, ...address }: QueryServiceConfig,
  { documents, logger }: { readonly documents: Documents; readonly logger: Logger },
) {
  const onError = (err: unknown): void =>
    logger.warn({ err }, "which generations are live could not be read; it is read again with their next change");
  await using stack = new AsyncDisposableStack();
  const read: { readonly domain: Domain; readonly freshness: Freshness }[] = [];
  for (const domain of domains) {
    const freshness = stack.use(await startFreshness({ documents, views: domain.views, onError }));
    freshness.onSetBack(() => logger.warn(`the documents of ${domain.name} have gone back: what was known of them is forgotten`));
    read.push({ domain, freshness });
  }
  const services = read.map(queryService);
  const server: GrpcServer = stack.use(await startGrpcServer({ ...address, services, errorDomain: SERVER_ERRORS, logger }));
  const running = stack.move();
  return {
    address: server.address,
    port: server.port,
    setServing: server.setServing,
    /** The collections that queries read now, with the indexes that they need. */
    collections: (): readonly Collection[] =>
      read.flatMap(({ domain, freshness }) => domain.views.map((view) => ({ ...view.collection, name: freshness.collection(view) }))),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
