/** How long after its receipt a command shows in the views: to who asks again and again, and to who asks once with the receipt's token. */

import { CommandStage } from "../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { OrderCommandService } from "../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { startDevProcess } from "../test/support/dev-process.ts";
import { CallError, createGrpcClient } from "../test/support/grpc-client.ts";
import { newOrder } from "../test/support/orders.ts";
import type { Bench, Measurement, Row } from "./measurement.ts";
import { pace } from "./pace.ts";
import { percentiles } from "./statistics.ts";

/** Modest: what waits is the view, and not a queue. */
const RATE = 100;

const OLDER_ORDER = "older";

/** gRPC's number for it. */
const NOT_FOUND = 5;

const { createOrder } = OrderCommandService.method;
const { getOrder } = OrderQueryService.method;

/** What becomes of the commands, in turn. */
const turns = ["asked for", "read with its token", "beside an older order", "left alone"] as const;

type Turn = (typeof turns)[number];

export interface Addresses {
  readonly commandAddress: string;
  readonly queryAddress: string;
}

export const freshness: Measurement = {
  name: "freshness",
  summary: `from a command's receipt to a read that shows it, at ${RATE} commands/s, beside a read of what has long been there`,
  async run(bench) {
    await using own = await startDevProcess();
    return await measureFreshness(bench, own);
  },
};

export async function measureFreshness({ quick, progress }: Bench, { commandAddress, queryAddress }: Addresses): Promise<readonly Row[]> {
  using commands = createGrpcClient(commandAddress);
  using queries = createGrpcClient(queryAddress);
  const [warmUpSeconds, seconds] = quick ? [1, 1] : [5, 15];

  const isVisible = async (orderId: string): Promise<boolean> => {
    try {
      await queries.call(getOrder, { orderId });
      return true;
    } catch (error) {
      if (error instanceof CallError && error.code === NOT_FOUND) return false;
      throw error;
    }
  };
  const ask = async (turn: Turn, orderId: string, consistencyToken: string): Promise<void> => {
    if (turn === "read with its token") await queries.call(getOrder, { orderId, consistencyToken });
    if (turn === "beside an older order") await queries.call(getOrder, { orderId: OLDER_ORDER });
    if (turn === "asked for") while (!(await isVisible(orderId)));
  };
  const offer = async (name: string, forSeconds: number): Promise<Found> => {
    const found: Found = new Map(turns.map((turn) => [turn, []]));
    const calls = Array.from({ length: RATE * forSeconds }, (_, index) => async () => {
      const turn = turns[index % turns.length] ?? "left alone";
      const { receipt } = await commands.call(createOrder, newOrder(idOf(name, index)));
      const decidedMs = performance.now();
      await ask(turn, idOf(name, index), receipt?.consistencyToken ?? "");
      found.get(turn)?.push(performance.now() - decidedMs);
    });
    await pace(calls, RATE);
    return found;
  };

  progress(`freshness at ${RATE} commands/s`);
  await commands.call(createOrder, { ...newOrder(OLDER_ORDER), options: { waitFor: CommandStage.PROJECTED } });
  await offer("warm-up", warmUpSeconds);
  return rowsOf(await offer("order", seconds));
}

type Found = ReadonlyMap<Turn, number[]>;

function rowsOf(found: Found): readonly Row[] {
  const latencyOf = (turn: Turn) => percentiles(Float64Array.from(found.get(turn) ?? []));
  const older = latencyOf("beside an older order");
  const kinds = [
    ["visible without a token", "asked for"],
    ["read with the receipt's token", "read with its token"],
  ] as const;
  return kinds.flatMap(([name, turn]) => {
    const latency = latencyOf(turn);
    return (["p50Ms", "p99Ms"] as const).map((percentile): Row => {
      const beside = [{ name: "GetOrder of an older order", value: older[percentile] }];
      return { name: `${name}, ${percentile.slice(0, 3)}`, value: latency[percentile], unit: "ms", latency, beside };
    });
  });
}

function idOf(name: string, index: number): string {
  return `${name}-${index}`;
}
