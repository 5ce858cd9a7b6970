/** Lists of a million orders with every filter and sort, beside a server that only answers, and beside the store alone. */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { create, type MessageShape, toBinary } from "@bufbuild/protobuf";
import type { Find } from "../internal/cqrs/documents.ts";
import { openStore, type Store } from "../internal/documents/embedded/store.ts";
import { ListOrdersRequestSchema, OrderQueryService } from "../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { orders as orderView } from "../internal/orders/projection/order.ts";
import { startDevProcess } from "../test/support/dev-process.ts";
import { createGrpcClient } from "../test/support/grpc-client.ts";
import { measureBare } from "./bare.ts";
import { count } from "./catching-up.ts";
import { findOf, type ListCase, listCases, type StoredDate } from "./list-cases.ts";
import type { LoadResult } from "./load.ts";
import { manyDocuments, manyOrderId } from "./many-orders.ts";
import { type Bench, type Measurement, notMeasured, type Row } from "./measurement.ts";
import { getOrderCall } from "./orders.ts";
import { type LoadGenerator, startEcho, startLoadGenerator } from "./processes.ts";
import { type Call, pathOf } from "./wire.ts";

const ORDERS = 1_000_000;
const QUICK_ORDERS = 5_000;

/** Orders that are put together and written at once. */
const BATCH_ORDERS = 5_000;

/** A few at a time: what a caller waits is the query more than its queue. */
const CALLERS = 4;

/** The system whose lists are measured, and its store. */
export interface Listed {
  readonly address: string;
  readonly orders: number;
  readonly storedDate: StoredDate;
  readonly bare: {
    readonly name: string;
    get(id: string): unknown;
    find(query: Find): unknown;
  };
}

export const lists: Measurement = {
  name: "lists",
  summary: "lists of 1,000,000 orders with every filter and sort, beside a gRPC echo and SQLite alone",
  async run(bench) {
    const directory = join(bench.folder, "lists");
    await mkdir(directory);
    const path = join(directory, "documents.sqlite");
    const orders = ordersOf(bench);
    fill(bench, path, orders);
    await using own = await startDevProcess({ directory });
    const alone = openStore({ path, readOnly: true });
    try {
      const listed = { address: own.queryAddress, orders, storedDate: (ms: number) => new Date(ms).toISOString(), bare: bareSqlite(alone) };
      return await measureLists(bench, listed);
    } finally {
      alone.close();
    }
  },
};

export function ordersOf({ quick }: Bench): number {
  return quick ? QUICK_ORDERS : ORDERS;
}

/** Batches of documents, with what is done so far told. */
export function* manyBatches({ progress }: Bench, orders: number) {
  for (let from = 0; from < orders; from += BATCH_ORDERS) {
    progress(`${count(from)} of ${count(orders)} orders`);
    yield manyDocuments(from, Math.min(from + BATCH_ORDERS, orders), orders);
  }
}

export async function measureLists(bench: Bench, listed: Listed): Promise<readonly Row[]> {
  await using load = startLoadGenerator();
  const rows = [await measureGet(bench, load, listed)];
  const ceiling = await measureEcho(bench, load, listed);
  const cases = listCases(listed.orders, listed.storedDate);
  for (const [index, each] of cases.entries()) {
    bench.progress(`${index + 1} of ${cases.length} lists: ${each.name.trim()}`);
    rows.push(await measureCase(bench, load, { listed, ceiling, each }));
  }
  return rows;
}

function fill(bench: Bench, path: string, orders: number): void {
  const store = openStore({ path, readOnly: false });
  try {
    const { name } = orderView.collection;
    store.prepare([{ name, indexes: [] }]);
    for (const documents of manyBatches(bench, orders)) {
      const writes = documents.map(({ collection, id, applied, fields }) => {
        return { collection, row: [id, 1, JSON.stringify(applied), JSON.stringify(fields)] as const };
      });
      store.transaction(() => store.write(writes, []));
    }
    bench.progress("indexes");
    store.prepare([orderView.collection]);
  } finally {
    store.close();
  }
}

/** The same statements, in this process. */
function bareSqlite(store: Store): Listed["bare"] {
  return {
    name: "SQLite alone",
    get: (id) => store.load(orderView.collection.name, [id]),
    find: (query) => store.find(query),
  };
}

async function measureGet(bench: Bench, load: LoadGenerator, { address, orders, bare }: Listed): Promise<Row> {
  bench.progress("GetOrder");
  // A prime step spreads neighbouring calls over all orders.
  const ids = Array.from({ length: 1_000 }, (_, index) => manyOrderId((index * 7_919) % orders));
  const calls = ids.map((id) => getOrderCall(id, ""));
  using client = createGrpcClient(address);
  await using echo = await startEcho({ getOrder: await client.call(OrderQueryService.method.getOrder, { orderId: manyOrderId(0) }) });
  const ceiling = await measureCalls(bench, load, echo.address, calls);
  const { perSecond, latency } = await measureCalls(bench, load, address, calls);
  const alone = await measureAlone(bench, (index) => bare.get(ids[index % ids.length] ?? ""));
  const beside = [
    { name: "gRPC echo", value: ceiling.perSecond },
    { name: `${bare.name}, by id`, value: alone },
  ];
  return { name: `GetOrder of ${count(orders)}`, value: perSecond, unit: "/s", latency, beside };
}

/** A page of as many orders as the service gives whom says nothing. */
async function measureEcho(bench: Bench, load: LoadGenerator, { address }: Listed): Promise<number> {
  using client = createGrpcClient(address);
  await using echo = await startEcho({ listOrders: await client.call(OrderQueryService.method.listOrders, {}) });
  const { perSecond } = await measureCalls(bench, load, echo.address, [listCall(create(ListOrdersRequestSchema))]);
  return perSecond;
}

/** A list that takes too long for the service is a row that says so. */
async function measureCase(bench: Bench, load: LoadGenerator, { listed, ceiling, each }: CaseOptions): Promise<Row> {
  const { name, requests } = each;
  const finds = await Promise.all(requests.map(findOf));
  const askAlone = (index: number): unknown => {
    const find = finds[index % finds.length];
    return find === undefined ? [] : listed.bare.find(find);
  };
  try {
    const { perSecond, latency } = await measureCalls(bench, load, listed.address, requests.map(listCall));
    const alone = await measureAlone(bench, askAlone);
    const beside = [
      { name: "gRPC echo of 50", value: ceiling },
      { name: listed.bare.name, value: alone },
    ];
    return { name, value: perSecond, unit: "/s", latency, beside };
  } catch (error) {
    return { name, unit: "/s", note: notMeasured(error) };
  }
}

interface CaseOptions {
  readonly listed: Listed;
  /** The echo's pages per second. */
  readonly ceiling: number;
  readonly each: ListCase;
}

/** After a warm-up, unless that has taken as long as is measured: a list that slow does not get faster. */
async function measureCalls(bench: Bench, load: LoadGenerator, address: string, calls: readonly Call[]): Promise<LoadResult> {
  const [{ path } = { path: "" }] = calls;
  const requests = calls.map(({ request }) => Buffer.from(request).toString("base64"));
  const run = (seconds: number) => load.run({ address, callers: CALLERS, workload: { kind: "calls", path, requests, seconds } });
  const seconds = secondsOf(bench);
  const first = await run(seconds / 3);
  return first.seconds < seconds ? run(seconds) : first;
}

function measureAlone(bench: Bench, ask: (index: number) => unknown): Promise<number> {
  return measureBare(async (index) => ask(index), { callers: CALLERS, seconds: secondsOf(bench) / 4 });
}

/** There are many lists, and all of them are to take a few minutes. */
function secondsOf({ quick }: Bench): number {
  return quick ? 0.05 : 0.6;
}

function listCall(request: MessageShape<typeof ListOrdersRequestSchema>): Call {
  const method = OrderQueryService.method.listOrders;
  return { path: pathOf(method), request: toBinary(method.input, request) };
}
