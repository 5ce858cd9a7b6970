/** Those who watch and subscribe go on where they were, at whichever instance there is, while everything they read from is killed. */

import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Headwater, Session } from "../../../sdk/src/index.ts";
import { connectGrpc } from "../../../sdk/src/node.ts";
import { startBalancer } from "../../support/balancer.ts";
import { startKafka } from "../../support/kafka-server.ts";
import { type MongoServer, startMongo } from "../../support/mongo-server.ts";
import { newOrder } from "../../support/orders.ts";
import { startProcess, startSystem, type TestProcess } from "../../support/processes.ts";
import { kafka as kafkaSource, mongo as mongoSource } from "../../support/servers.ts";
import {
  type Follower,
  followEvents,
  followEventsInTurn,
  followList,
  followOrder,
  isGapless,
  isNotFalling,
  isRising,
} from "./followers.ts";

const ORDERS = 12;

/** Until everything is back on a busy machine, and clients that have failed for a while try again. */
const PATIENCE_MS = 60_000;

/** Who has another instance to go to gives one up soon. */
const IMPATIENCE_MS = 500;

const patience = { timeout: PATIENCE_MS };

const TEST_MS = 3 * PATIENCE_MS;

describe.skipIf(kafkaSource?.kind !== "program" || mongoSource?.kind !== "program")("those who follow orders on Kafka and MongoDB", () => {
  const stack = new AsyncDisposableStack();
  const customerId = randomUUID();
  const orderIds = Array.from({ length: ORDERS }, () => randomUUID());
  let mongo: MongoServer;
  let projector: TestProcess;
  let queries: readonly [TestProcess, TestProcess];
  let followers: readonly Follower[];
  let writer: Writer;

  beforeAll(async () => {
    const broker = stack.use(await startKafka());
    mongo = stack.use(await startMongo());
    const servers = { brokers: broker.brokers, mongoUri: mongo.uri };
    const system = stack.use(await startSystem(servers));
    projector = system.processes.projector;
    queries = [system.processes["query-service"], stack.use(await startProcess("query-service", servers))];
    const connect = (queryAddress: string): Headwater =>
      stack.use(connectGrpc({ commandUrl: `http://${system.commandAddress}`, queryUrl: `http://${queryAddress}` }));
    writer = stack.use(startWriter(connect(system.queryAddress).session({ timeoutMs: PATIENCE_MS }), { orderIds, customerId }));
    followers = await startFollowers(connect);
  }, TEST_MS);
  afterAll(() => stack.disposeAsync());

  it.each<readonly [what: string, kill: () => Promise<void>, mend: () => Promise<void>]>([
    ["one query-service", () => queries[0].end("SIGKILL"), async () => undefined],
    ["the other query-service", () => queries[0].start().then(() => queries[1].end("SIGKILL")), () => queries[1].start()],
    ["the projector", () => projector.end("SIGKILL"), () => projector.start()],
    ["mongod", () => mongo.kill(), () => mongo.restart()],
  ])("go on after a kill -9 of %s", { timeout: TEST_MS }, async (_, kill, mend) => {
    await expect.poll(whoHasSeenNothing(), patience).toEqual([]);
    await kill();
    await mend();
    await expect.poll(whoHasSeenNothing(), patience).toEqual([]);
  });

  it("have seen the last state, never one that is older than another, and each event once", { timeout: TEST_MS }, async () => {
    const versions = await writer.stop();
    const behind = () => followers.filter((each) => !each.hasReached(versions)).map(({ name }) => name);
    await expect.poll(behind, patience).toEqual([]);
    expect(followers.flatMap((each) => each.problems())).toEqual([]);
  });

  async function startFollowers(connect: (queryAddress: string) => Headwater): Promise<readonly Follower[]> {
    const addresses = queries.map(({ address }) => address);
    const balancer = stack.use(await startBalancer(addresses));
    const stop = new AbortController();
    const many = { customerId, orderIds, signal: stop.signal };
    const ofEachConnection = addresses.flatMap((_, index) => {
      const session = connect(balancer.address).session({ timeoutMs: PATIENCE_MS });
      const ofOrders = orderIds.map((orderId) => followOrder(session, { orderId, name: `${orderId}, ${index}`, signal: stop.signal }));
      return [
        ...ofOrders,
        followList(session, { ...many, name: `the list, ${index}` }),
        followEvents(session, { ...many, name: `the events, ${index}` }),
      ];
    });
    const sessions = addresses.map((address) => connect(address).session({ timeoutMs: IMPATIENCE_MS }));
    const all = [...ofEachConnection, followEventsInTurn(sessions, { ...many, name: "the events, in turn" })];
    stack.defer(async () => {
      stop.abort();
      await Promise.all(all.map(({ ended }) => ended));
    });
    return all;
  }

  /** Asks who has seen nothing since now. */
  function whoHasSeenNothing(): () => readonly string[] {
    const before = followers.map((each) => each.count());
    return () => followers.filter((each, index) => each.count() <= (before[index] ?? 0)).map(({ name }) => name);
  }
});

it("a state that is older, a gap and an event that comes twice would be found", () => {
  expect([isRising([2, 5]), isRising([2, 2]), isRising([3, 2])]).toEqual([true, false, false]);
  expect([isNotFalling([2, 2, 5]), isNotFalling([3, 2])]).toEqual([true, false]);
  expect([isGapless([1, 2, 3]), isGapless([2, 3]), isGapless([1, 2, 2]), isGapless([1, 3])]).toEqual([true, false, false, false]);
});

interface Writer extends AsyncDisposable {
  /** Returns the last version of each order. */
  stop(): Promise<ReadonlyMap<string, number>>;
}

/** Creates the orders and changes all of them, again and again. */
function startWriter(
  session: Session,
  { orderIds, customerId }: { readonly orderIds: readonly string[]; readonly customerId: string },
): Writer {
  const versions = new Map<string, number>();
  let stopped = false;
  const write = async (orderId: string): Promise<void> => {
    const order = newOrder(orderId);
    await session.createOrder({ ...order, customerId, lines: order.lines.map((line) => ({ ...line, lineId: line.sku })) });
    for (let quantity = 10; !stopped; quantity += 1) {
      const { version } = await session.changeLineQuantity({ orderId, lineId: "TEA", quantity });
      versions.set(orderId, version);
    }
  };
  const writing = Promise.all(orderIds.map(write));
  writing.catch(() => undefined);
  const stop = async () => {
    stopped = true;
    await writing;
    return versions;
  };
  return { stop, [Symbol.asyncDispose]: async () => void (await stop()) };
}
