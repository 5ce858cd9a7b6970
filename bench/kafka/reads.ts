/** Queries on MongoDB: one order, and a customer's orders, beside a server that only answers, and beside the driver that only asks. */

import { MongoClient } from "mongodb";
import { OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { orders as orderView } from "../../internal/orders/projection/order.ts";
import { createGrpcClient } from "../../test/support/grpc-client.ts";
import { startProcess } from "../../test/support/processes.ts";
import { measureBare } from "../bare.ts";
import { compare } from "../comparison.ts";
import type { Workload } from "../load.ts";
import { callersText, type Measurement, type Row } from "../measurement.ts";
import { CUSTOMERS, customerId, orderId } from "../orders.ts";
import { startEcho, startLoadGenerator } from "../processes.ts";
import { fillEvents, ORDER_PREFIX, projectEvents } from "./fill.ts";
import type { KafkaBench, Stores } from "./stores.ts";

const CALLERS = [1, 32, 256];
const ORDERS = 10_000;
const QUICK_ORDERS = 2_000;

/** What the service asks for when nobody says how many: fifty orders, and one that tells whether there are more. */
const PAGE = 51;

interface Query {
  readonly name: string;
  workload(calls: number): Workload;
  /** The same with the driver. */
  ask(client: MongoClient, index: number): Promise<unknown>;
}

export const readsOnMongo: Measurement<KafkaBench> = {
  name: "reads",
  summary: "GetOrder/s and ListOrders/s on MongoDB, beside a gRPC echo and the bare driver",
  async run(bench) {
    const orders = bench.quick ? QUICK_ORDERS : ORDERS;
    await bench.stores.empty();
    await fillEvents(bench, orders);
    await projectEvents(bench, orders);
    return measure(bench, orders);
  },
};

async function measure({ stores, quick, progress }: KafkaBench, orders: number): Promise<readonly Row[]> {
  await using own = await startProcess("query-service", stores);
  await using echo = await startEcho(await answers(own.address));
  await using load = startLoadGenerator();
  await using client = new MongoClient(stores.mongoUri, { readConcern: { level: "majority" } });
  const roundSeconds = quick ? 0.3 : 2;
  const rows: Row[] = [];
  for (const { name, workload, ask } of queries(stores, orders)) {
    for (const callers of CALLERS) {
      progress(`${name}, ${callersText(callers)}`);
      const contenders = [echo.address, own.address].map((address) => ({ address, workload }));
      const [ceiling, figure] = await compare(load, contenders, { callers, rounds: quick ? 1 : 3, roundSeconds });
      if (ceiling === undefined || figure === undefined) throw new Error("a contender has no figure");
      const bare = await measureBare((index) => ask(client, index), { callers, seconds: roundSeconds });
      const beside = [
        { name: "gRPC echo", value: ceiling.perSecond },
        { name: "bare driver", value: bare },
      ];
      rows.push({ name: `${name}, ${callersText(callers)}`, value: figure.perSecond, unit: "/s", latency: figure.latency, beside });
    }
  }
  return rows;
}

function queries({ database }: Stores, orders: number): readonly Query[] {
  const collection = (client: MongoClient) => client.db(database).collection<{ readonly _id: string }>(orderView.collection.name);
  return [
    {
      name: "GetOrder",
      workload: (calls) => ({ kind: "reads", prefix: ORDER_PREFIX, orders, calls, token: "" }),
      ask: (client, index) => collection(client).findOne({ _id: orderId(ORDER_PREFIX, index % orders) }),
    },
    {
      name: `ListOrders of ${Math.round(orders / CUSTOMERS)}`,
      workload: (calls) => ({ kind: "lists", calls }),
      ask: (client, index) =>
        collection(client)
          .find({ customerId: customerId(index) }, { sort: { createdAt: -1, _id: -1 }, limit: PAGE })
          .toArray(),
    },
  ];
}

/** What the echo is to answer: the same as the service. */
async function answers(address: string) {
  using client = createGrpcClient(address);
  const { getOrder, listOrders } = OrderQueryService.method;
  return {
    getOrder: await client.call(getOrder, { orderId: orderId(ORDER_PREFIX, 0) }),
    listOrders: await client.call(listOrders, { filter: { customerId: customerId(0) } }),
  };
}
