/** How long `headwater dev` takes to start, and how much memory it holds, with a short log and with a long one. */

import { ChannelCredentials, Client } from "@grpc/grpc-js";
import { OrderQueryService } from "../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { type DevProcess, startDevProcess } from "../test/support/dev-process.ts";
import { createGrpcClient } from "../test/support/grpc-client.ts";
import { builtDocuments, type FilledLog } from "./log.ts";
import { type Bench, LARGE_LOG_EVENTS, type Measurement, QUICK_LOG_EVENTS, type Row } from "./measurement.ts";
import { COMMANDS_PER_ORDER, orderId } from "./orders.ts";
import { residentMb, startLoadGenerator } from "./processes.ts";
import { median } from "./statistics.ts";

const SMALL_LOG_EVENTS = 400;
const STARTS = 5;
const LOAD_ROUNDS = 3;
const LOAD_CALLERS = 256;

/** Whatever the log's length: a restart must not be felt as an outage. */
const AIM_SECONDS = 2;

export const startUp: Measurement = {
  name: "start-up",
  summary: "start-up time and memory, with a short log and with a long one",
  async run(bench) {
    const events = [SMALL_LOG_EVENTS, bench.quick ? QUICK_LOG_EVENTS : LARGE_LOG_EVENTS];
    const rows: Row[] = [];
    let shorter: readonly Row[] = [];
    for (const size of events) {
      const { log } = await builtDocuments(bench, size);
      const found = [...(await measureStarts(bench, log)), ...(await measureMemory(bench, log))];
      rows.push(...found.map((row, index) => besideShorter(row, shorter[index])));
      shorter = found;
    }
    return rows;
  },
};

async function measureStarts({ quick, progress }: Bench, log: FilledLog): Promise<readonly Row[]> {
  const serving: number[] = [];
  const answering: number[] = [];
  for (let round = 1; round <= (quick ? 1 : STARTS); round += 1) {
    progress(`start ${round} with ${sizeOf(log)}`);
    const startedMs = performance.now();
    await using dev = await startDevProcess({ directory: log.directory });
    await untilServing(dev.commandAddress);
    await untilServing(dev.queryAddress);
    serving.push((performance.now() - startedMs) / 1000);
    await readFirst(dev, log);
    answering.push((performance.now() - startedMs) / 1000);
  }
  return [
    { name: `start until SERVING, ${sizeOf(log)}`, value: median(serving), unit: "s", atMost: AIM_SECONDS },
    { name: "  until the first GetOrder", value: median(answering), unit: "s", atMost: AIM_SECONDS },
  ];
}

async function measureMemory({ quick, progress }: Bench, log: FilledLog): Promise<readonly Row[]> {
  await using dev = await startDevProcess({ directory: log.directory });
  await using load = startLoadGenerator();
  await readFirst(dev, log);
  const rows: Row[] = [{ name: `memory, ${sizeOf(log)}`, value: residentMb(dev.pid), unit: "MB" }];
  for (let round = 1; round <= LOAD_ROUNDS; round += 1) {
    progress(`memory under load with ${sizeOf(log)}, round ${round}`);
    const { prefix, orders } = log;
    const calls = quick ? 2_000 : 20_000;
    const writing = { kind: "commands", prefix: `round-${round}`, orders: calls / COMMANDS_PER_ORDER } as const;
    await load.run({ address: dev.commandAddress, callers: LOAD_CALLERS, workload: writing });
    const reading = { kind: "reads", prefix, orders, calls, token: "" } as const;
    await load.run({ address: dev.queryAddress, callers: LOAD_CALLERS, workload: reading });
    rows.push({ name: `  after ${(2 * calls * round).toLocaleString("en")} calls`, value: residentMb(dev.pid), unit: "MB" });
  }
  return rows;
}

/** What the long log costs shows beside the short one. */
function besideShorter(row: Row, shorter: Row | undefined): Row {
  return shorter?.value === undefined ? row : { ...row, beside: [{ name: `${SMALL_LOG_EVENTS} events`, value: shorter.value }] };
}

async function readFirst({ queryAddress }: DevProcess, { prefix, orders }: FilledLog): Promise<void> {
  using client = createGrpcClient(queryAddress);
  await client.call(OrderQueryService.method.getOrder, { orderId: orderId(prefix, orders - 1) });
}

/** Asks grpc.health.v1 for the whole server; the messages are small enough to be written by hand. */
function untilServing(address: string): Promise<void> {
  const client = new Client(address, ChannelCredentials.createInsecure());
  const bytes = (message: Buffer): Buffer => message;
  const serving = Buffer.from([0x08, 0x01]);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest("/grpc.health.v1.Health/Check", bytes, bytes, Buffer.alloc(0), (error, status) => {
      client.close();
      if (error !== null) reject(error);
      else if (status?.equals(serving) === true) resolve();
      else reject(new Error(`${address} does not serve`));
    });
  });
}

function sizeOf({ events }: FilledLog): string {
  return `${events.toLocaleString("en")} events`;
}
