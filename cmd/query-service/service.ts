/** OrderQueryService over the documents: each query waits until its view shows the caller's token, and returns a token of what it shows. */

import { status as Code } from "@grpc/grpc-js";
import { DocumentsUnavailableError } from "../../internal/cqrs/documents.ts";
import type { Projection } from "../../internal/cqrs/projection.ts";
import { formatToken, mergeSequences } from "../../internal/cqrs/token.ts";
import { untilAborted } from "../../internal/cqrs/until-aborted.ts";
import { createWitness, type Witness } from "../../internal/cqrs/witness.ts";
import type { Order } from "../../internal/gen/headwater/orders/v1/order_pb.ts";
import { OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import type { Call } from "../../internal/grpc/call.ts";
import { StatusError } from "../../internal/grpc/errors.ts";
import { type GrpcService, grpcService } from "../../internal/grpc/service.ts";
import { boundedWait } from "../../internal/grpc/wait.ts";
import { getCustomerSummary } from "../../internal/orders/query/get-customer-summary.ts";
import { getOrder } from "../../internal/orders/query/get-order.ts";
import { getOrderAsOf, type OrderAsOf } from "../../internal/orders/query/get-order-as-of.ts";
import { getOrderCounts } from "../../internal/orders/query/get-order-counts.ts";
import { listDailySales } from "../../internal/orders/query/list-daily-sales.ts";
import { listOrderEvents } from "../../internal/orders/query/list-order-events.ts";
import { listOrders } from "../../internal/orders/query/list-orders.ts";
import { listCountrySales, listProductSales } from "../../internal/orders/query/list-sales.ts";
import { MAX_WAIT_MS, statusErrorOf, untilVisible } from "./consistency.ts";
import { type StreamingOptions, streamingQueries } from "./streams.ts";

/** How fresh an answer is, as the contract says. */
const LATEST_EVENT = "headwater-latest-event-at";

const WRITTEN_JUST_NOW = "if it was written just now, pass the receipt's consistency_token";

export type QueryServiceOptions = StreamingOptions;

/** A use case: what it answers from the documents of its view. */
interface Query<Request, Answer> {
  (documents: Witness, request: Request): Promise<Answer>;
  readonly view: Projection;
}

interface QueryRequest {
  readonly consistencyToken: string;
}

export function orderQueryService(options: QueryServiceOptions): GrpcService {
  return grpcService(OrderQueryService, {
    async getOrder(request, call) {
      const { answer, consistencyToken } = await read(options, getOrder, request, call);
      return { order: found(answer, "ORDER_NOT_FOUND", `there is no order ${JSON.stringify(request.orderId)}`), consistencyToken };
    },
    async getOrderAsOf(request, call) {
      const { answer, consistencyToken } = await read(options, getOrderAsOf, request, call);
      return { order: shown(answer, request.orderId), consistencyToken };
    },
    async listOrders(request, call) {
      const { answer, consistencyToken } = await read(options, listOrders, request, call);
      return { ...answer, consistencyToken };
    },
    async listOrderEvents(request, call) {
      const { answer, consistencyToken } = await read(options, listOrderEvents, request, call);
      return { ...answer, consistencyToken };
    },
    async getCustomerSummary(request, call) {
      const { answer, consistencyToken } = await read(options, getCustomerSummary, request, call);
      const summary = found(answer, "CUSTOMER_NOT_FOUND", `no order of a customer ${JSON.stringify(request.customerId)} is known`);
      return { summary, consistencyToken };
    },
    async listDailySales(request, call) {
      const { answer, consistencyToken } = await read(options, listDailySales, request, call);
      return { ...answer, consistencyToken };
    },
    async listProductSales(request, call) {
      const { answer, consistencyToken } = await read(options, listProductSales, request, call);
      return { ...answer, consistencyToken };
    },
    async listCountrySales(request, call) {
      const { answer, consistencyToken } = await read(options, listCountrySales, request, call);
      return { ...answer, consistencyToken };
    },
    async getOrderCounts(request, call) {
      const { answer, consistencyToken } = await read(options, getOrderCounts, request, call);
      return { counts: answer, consistencyToken };
    },
    ...streamingQueries(options),
  });
}

/** The position of the view is taken before the documents are read: they show at least that. */
async function read<Request extends QueryRequest, Answer>(
  { documents, freshness }: QueryServiceOptions,
  query: Query<Request, Answer>,
  request: Request,
  call: Call,
): Promise<{ readonly answer: Answer; readonly consistencyToken: string }> {
  using wait = boundedWait(call, MAX_WAIT_MS);
  try {
    const wanted = await untilVisible(freshness, query.view, request.consistencyToken, wait.signal);
    const complete = freshness.sequences(query.view);
    const latestEventMs = freshness.latestEventMs(query.view);
    if (latestEventMs !== undefined) call.setResponseTrailer(LATEST_EVENT, new Date(latestEventMs).toISOString());
    const witness = createWitness(documents);
    const answered = await untilAborted(
      query(witness, request).then((answer) => ({ answer })),
      wait.signal,
    );
    if (answered === undefined) throw new DocumentsUnavailableError("the documents did not answer in time");
    const { log } = freshness;
    const consistencyToken = log === undefined ? "" : formatToken(log.id, mergeSequences(complete, wanted, witness.seen));
    return { answer: answered.answer, consistencyToken };
  } catch (error) {
    throw statusErrorOf(error);
  }
}

function found<Document>(document: Document | undefined, reason: string, message: string): Document {
  if (document !== undefined) return document;
  throw notFound(reason, `${message}; ${WRITTEN_JUST_NOW}`);
}

function shown(answer: OrderAsOf, orderId: string): Order {
  if ("order" in answer) return answer.order;
  const order = JSON.stringify(orderId);
  switch (answer.reason) {
    case "ORDER_NOT_FOUND":
      throw notFound(answer.reason, `there is no order ${order}; ${WRITTEN_JUST_NOW}`);
    case "VERSION_NOT_REACHED": {
      const { reason, version } = answer;
      throw notFound(reason, `the order ${order} is at version ${version}; ${WRITTEN_JUST_NOW}`, { version: String(version) });
    }
    case "ORDER_NOT_YET_CREATED": {
      const createdAt = answer.createdAt.toISOString();
      throw notFound(answer.reason, `the order ${order} was created at ${createdAt}; ask for a later time`, { created_at: createdAt });
    }
  }
}

function notFound(reason: string, message: string, metadata: Readonly<Record<string, string>> = {}): StatusError {
  return new StatusError(Code.NOT_FOUND, message, { reason, metadata });
}
