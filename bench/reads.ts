/** GetOrder over many orders, without and with a token, beside a server that encodes the same order for every call. */

import type { MessageShape } from "@bufbuild/protobuf";
import { type GetOrderResponseSchema, OrderQueryService } from "../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { startDevProcess } from "../test/support/dev-process.ts";
import { createGrpcClient } from "../test/support/grpc-client.ts";
import { type Contender, compare } from "./comparison.ts";
import { builtDocuments, type FilledLog } from "./log.ts";
import { type Bench, callersText, type Measurement, type Row } from "./measurement.ts";
import { COMMANDS_PER_ORDER, orderId } from "./orders.ts";
import { startEcho, startLoadGenerator } from "./processes.ts";

const CALLERS = [1, 32, 256];
const ORDERS = 10_000;
const QUICK_ORDERS = 1_000;

/** The document is in memory's reach: what remains is to find it and to encode it. */
const AIM_OF_ECHO = 0.75;

export const reads: Measurement = {
  name: "reads",
  summary: "GetOrder/s and latencies without and with a token, beside a gRPC echo",
  async run(bench) {
    const { log } = await builtDocuments(bench, (bench.quick ? QUICK_ORDERS : ORDERS) * COMMANDS_PER_ORDER);
    return measure(bench, log);
  },
};

async function measure({ quick, progress }: Bench, { directory, prefix, orders }: FilledLog): Promise<readonly Row[]> {
  await using own = await startDevProcess({ directory });
  const answer = await readOrder(own.queryAddress, orderId(prefix, 0));
  await using echo = await startEcho({ getOrder: answer });
  await using load = startLoadGenerator();
  const rows: Row[] = [];
  for (const callers of CALLERS) {
    progress(`GetOrder, ${callersText(callers)}`);
    const contender = (address: string, token: string): Contender => ({
      address,
      workload: (calls) => ({ kind: "reads", prefix, orders, calls, token }),
    });
    const contenders = [contender(echo.address, ""), contender(own.queryAddress, ""), contender(own.queryAddress, answer.consistencyToken)];
    const options = { callers, rounds: quick ? 1 : 5, roundSeconds: quick ? 0.3 : 2 };
    const [ceiling, plain, withToken] = await compare(load, contenders, options);
    if (ceiling === undefined || plain === undefined || withToken === undefined) throw new Error("a contender has no figure");
    const beside = [{ name: "gRPC echo", value: ceiling.perSecond, aim: AIM_OF_ECHO }];
    rows.push({ name: `GetOrder, ${callersText(callers)}`, value: plain.perSecond, unit: "/s", latency: plain.latency, beside });
    rows.push({ name: "  with a token", value: withToken.perSecond, unit: "/s", latency: withToken.latency, beside });
  }
  return rows;
}

async function readOrder(address: string, id: string): Promise<MessageShape<typeof GetOrderResponseSchema>> {
  using client = createGrpcClient(address);
  return await client.call(OrderQueryService.method.getOrder, { orderId: id });
}
