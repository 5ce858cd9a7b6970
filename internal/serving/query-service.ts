/** A domain's query service over the documents: each query waits until its view shows the caller's token, and returns a token of what it shows. */

import { status as Code } from "@grpc/grpc-js";
import { DocumentsUnavailableError } from "../cqrs/documents.ts";
import { type Domain, errorDomainOf } from "../cqrs/domain.ts";
import { mergePositions } from "../cqrs/positions.ts";
import type { Freshness } from "../cqrs/query/freshness.ts";
import { isNotFound, type Query } from "../cqrs/query/query.ts";
import { createWitness } from "../cqrs/query/witness.ts";
import { untilAborted } from "../cqrs/until-aborted.ts";
import type { Call } from "../grpc/call.ts";
import { StatusError } from "../grpc/errors.ts";
import { type AnyImplementation, type GrpcService, grpcService } from "../grpc/service.ts";
import { boundedWait } from "../grpc/wait.ts";
import { MAX_WAIT_MS, readVisible, sessionOf, statusErrorOf } from "./consistency.ts";
import { streamingMethods } from "./streams.ts";

/** How fresh an answer is, as the contract says. */
const LATEST_EVENT = "headwater-latest-event-at";

/** What a query service works with. */
export interface QueryServiceOptions {
  readonly domain: Domain;
  readonly freshness: Freshness;
}

interface QueryRequest {
  readonly consistencyToken: string;
}

/** Serves each query of a domain under the RPC of its name. */
export function queryService(options: QueryServiceOptions): GrpcService {
  const { domain } = options;
  return grpcService(domain.queries.service, { ...unaryMethods(options), ...streamingMethods(options) }, errorDomainOf(domain));
}

function unaryMethods(options: QueryServiceOptions): AnyImplementation {
  const methods = Object.entries(options.domain.queries.unary).map(([name, query]) => {
    // The table pairs each query with its own request and response; a loop over it cannot say so.
    const anyQuery = query as Query<QueryRequest, object>;
    return [name, (request: QueryRequest, call: Call) => read(options, anyQuery, request, call)] as const;
  });
  return Object.fromEntries(methods);
}

/** The position of the view is taken before the documents are read: they show at least that. */
async function read(
  { freshness }: QueryServiceOptions,
  query: Query<QueryRequest, object>,
  request: QueryRequest,
  call: Call,
): Promise<object> {
  using wait = boundedWait(call, MAX_WAIT_MS);
  try {
    const session = await sessionOf(freshness, call, request.consistencyToken, wait.signal);
    const options = { freshness, view: query.view, wanted: session.seen, signal: wait.signal };
    const answered = await readVisible(options, async () => {
      const complete = freshness.positions(query.view);
      const latest = freshness.latestEventMs(query.view);
      const witness = createWitness(freshness.documents);
      const found = await untilAborted(
        query(witness, request).then((value) => ({ value })),
        wait.signal,
      );
      if (found === undefined) throw new DocumentsUnavailableError("the documents did not answer in time");
      return { answer: found.value, latestEventMs: latest, shown: mergePositions(complete, witness.seen) };
    });
    const { answer, latestEventMs, shown } = answered;
    const consistencyToken = session.answer(shown);
    session.end();
    if (latestEventMs !== undefined) call.setResponseTrailer(LATEST_EVENT, new Date(latestEventMs).toISOString());
    return { ...unlessNotFound(answer), consistencyToken };
  } catch (error) {
    throw statusErrorOf(error);
  }
}

function unlessNotFound(answer: object): object {
  if (!isNotFound(answer)) return answer;
  const { reason, message, metadata } = answer.notFound;
  throw new StatusError(Code.NOT_FOUND, message, { reason, metadata });
}
