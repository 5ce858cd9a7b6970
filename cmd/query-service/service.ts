/** OrderQueryService over the documents: each query waits until its view shows the caller's token, and returns a token of what it shows. */

import { status as Code } from "@grpc/grpc-js";
import { DocumentsUnavailableError } from "../../internal/cqrs/documents.ts";
import { mergePositions } from "../../internal/cqrs/positions.ts";
import { isNotFound, type Query } from "../../internal/cqrs/query/query.ts";
import { formatToken } from "../../internal/cqrs/query/token.ts";
import { createWitness } from "../../internal/cqrs/query/witness.ts";
import { untilAborted } from "../../internal/cqrs/until-aborted.ts";
import { OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import type { Call } from "../../internal/grpc/call.ts";
import { StatusError } from "../../internal/grpc/errors.ts";
import { type GrpcService, grpcService, type Implementation } from "../../internal/grpc/service.ts";
import { boundedWait } from "../../internal/grpc/wait.ts";
import { orderQueries } from "../../internal/orders/query/queries.ts";
import { MAX_WAIT_MS, readVisible, statusErrorOf } from "./consistency.ts";
import { type StreamingOptions, streamingQueries } from "./streams.ts";

/** How fresh an answer is, as the contract says. */
const LATEST_EVENT = "headwater-latest-event-at";

export type QueryServiceOptions = StreamingOptions;

interface QueryRequest {
  readonly consistencyToken: string;
}

type UnaryQueries = Pick<Implementation<typeof OrderQueryService>, keyof typeof orderQueries>;

export function orderQueryService(options: QueryServiceOptions): GrpcService {
  return grpcService(OrderQueryService, { ...unaryQueries(options), ...streamingQueries(options) });
}

/** Each query as the method of its name. */
function unaryQueries(options: QueryServiceOptions): UnaryQueries {
  const methods = Object.entries(orderQueries).map(([name, query]) => {
    // The table pairs each query with its own request and response; a loop over it cannot say so.
    const anyQuery = query as Query<QueryRequest, object>;
    return [name, (request: QueryRequest, call: Call) => read(options, anyQuery, request, call)] as const;
  });
  return Object.fromEntries(methods) as unknown as UnaryQueries;
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
    const options = { freshness, view: query.view, token: request.consistencyToken, signal: wait.signal };
    const answered = await readVisible(options, async (wanted) => {
      const complete = freshness.positions(query.view);
      const latestEventMs = freshness.latestEventMs(query.view);
      const witness = createWitness(freshness.documents);
      const answer = await untilAborted(
        query(witness, request).then((value) => ({ value })),
        wait.signal,
      );
      if (answer === undefined) throw new DocumentsUnavailableError("the documents did not answer in time");
      return { answer: answer.value, latestEventMs, consistencyToken: formatToken(mergePositions(complete, wanted, witness.seen)) };
    });
    const { answer, latestEventMs, consistencyToken } = answered;
    if (latestEventMs !== undefined) call.setResponseTrailer(LATEST_EVENT, new Date(latestEventMs).toISOString());
    return { ...shown(answer), consistencyToken };
  } catch (error) {
    throw statusErrorOf(error);
  }
}

function shown(answer: object): object {
  if (!isNotFound(answer)) return answer;
  const { reason, message, metadata } = answer.notFound;
  throw new StatusError(Code.NOT_FOUND, message, { reason, metadata });
}
