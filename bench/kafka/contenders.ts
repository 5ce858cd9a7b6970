/** What commands can be offered to: servers, through gRPC, and bare topologies, through their topics. */

import { startProcess } from "../../test/support/processes.ts";
import type { Latency } from "../measurement.ts";
import { commandsOf, interleaved } from "../orders.ts";
import { pace } from "../pace.ts";
import { startEcho, startLoadGenerator } from "../processes.ts";
import { peerCommandRecord } from "./peer-commands.ts";
import { startReplies } from "./replies.ts";
import { type KafkaBench, openLog } from "./stores.ts";
import { COMMAND_HEADER, peerTopics, type Topology } from "./topologies.ts";

/** Enough for as many connections as the generator opens. */
const CALLERS = 256;

export interface Offer {
  readonly prefix: string;
  readonly orders: number;
  readonly perSecond: number;
}

export interface Contender extends AsyncDisposable {
  /** Offers the commands of new orders, and waits until all have been answered. */
  offer(offer: Offer): Promise<Latency>;
}

/** The write side alone, or with the read side at work on the same cores. */
export async function startHeadwater({ stores }: KafkaBench, side: "write side" | "both sides"): Promise<Contender> {
  await using stack = new AsyncDisposableStack();
  if (side === "both sides") {
    stack.use(await startProcess("projector", stores));
    stack.use(await startProcess("query-service", stores));
  }
  stack.use(await startProcess("command-handler", stores));
  const { address } = stack.use(await startProcess("command-service", stores));
  return startCaller(address, stack.move());
}

export async function startEchoServer(): Promise<Contender> {
  await using stack = new AsyncDisposableStack();
  const { address } = stack.use(await startEcho());
  return startCaller(address, stack.move());
}

/** Appends commands for a topology and listens for its replies, by the adapter with which the command service does it. */
export async function startDriver({ stores }: KafkaBench, start: () => Promise<Topology>): Promise<Contender> {
  await using stack = new AsyncDisposableStack();
  const log = stack.use(await openLog(stores, Object.values(peerTopics)));
  const topology = stack.use(await start());
  const replies = stack.use(await startReplies(log));
  const owned = stack.move();
  return {
    async offer({ prefix, orders, perSecond }) {
      const commands = interleaved(Array.from({ length: orders }, (_, number) => commandsOf(prefix, number)));
      const sends = commands.map((command, index) => {
        const record = peerCommandRecord(command, log);
        const name = `${prefix}/${index}`;
        return async (): Promise<void> => {
          const replied = replies.of(name);
          await log.append([{ ...record, headers: { [COMMAND_HEADER]: name } }]);
          await replied;
        };
      });
      const answered = pace(sends, perSecond);
      const { latency } = await Promise.race([answered, topology.failed]);
      return latency;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function startCaller(address: string, servers: AsyncDisposableStack): Contender {
  const load = servers.use(startLoadGenerator());
  return {
    async offer({ prefix, orders, perSecond }) {
      const { latency } = await load.run({ address, callers: CALLERS, perSecond, workload: { kind: "commands", prefix, orders } });
      return latency;
    },
    [Symbol.asyncDispose]: () => servers.disposeAsync(),
  };
}
