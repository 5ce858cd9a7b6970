/** What operators do: documents dropped and set back, settings and rights that refuse, more processes for a while. */

import { setTimeout as delay } from "node:timers/promises";
import { orderGroups, orderTopics } from "../support/order-domain.ts";
import { copyDocuments, dropDocuments, putDocumentsBack } from "./documents.ts";
import { type Fault, type Scene, serverFault } from "./faults.ts";
import { type Admin, changeSetting, giveRightBack, type Right, takeRight, withAdmin } from "./kafka-admin.ts";

/** Kafka is asked while the brokers that are to answer may be away. */
const ADMIN_TRIES = 20;
const ADMIN_PAUSE_MS = 1_000;

/** Below what a large order needs, and above all else. */
export const SMALL_MESSAGE_BYTES = 100_000;

/** What processes cannot work without. */
const rights: readonly Right[] = [
  ...Object.values(orderTopics).flatMap(({ name }) =>
    (["read", "write"] as const).map((operation) => ({ of: "topic", name, operation }) as const),
  ),
  ...Object.values(orderGroups).map((name) => ({ of: "group", name, operation: "read" }) as const),
  { of: "transactional id", name: orderGroups.handler, operation: "write" },
];

export const operatorFaults: readonly Fault[] = [
  {
    name: "drop documents",
    weight: 2,
    begin(scene, random) {
      const isUnder = random.chance(0.5);
      const text = isUnder ? "under the projectors" : "while no projector runs";
      return serverFault(scene, "projectors", text, () => (isUnder ? goBack(scene, dropDocuments) : setBack(scene, dropDocuments)));
    },
  },
  {
    name: "set documents back",
    weight: 2,
    begin(scene, random) {
      const afterMs = random.integer(2_000, 8_000);
      return serverFault(scene, "projectors", `by ${afterMs} ms`, async () => {
        const { servers, database } = scene;
        const release = await scene.system.hold("projector");
        const copy = await copyDocuments(servers.mongo.uri, database).finally(release);
        await delay(afterMs);
        await setBack(scene, (uri, name) => putDocumentsBack(uri, name, copy));
      });
    },
  },
  {
    name: "more projectors",
    weight: 2,
    begin(scene, random) {
      const more = random.integer(2, 6);
      const forMs = random.integer(5_000, 15_000);
      return serverFault(scene, "projectors", `${more} for ${forMs} ms`, async () => {
        const started = await scene.system.start("projector", more);
        await delay(forMs);
        await scene.system.retire(started);
      });
    },
  },
  {
    name: "small max.message.bytes",
    weight: 2,
    begin(scene, random) {
      const topic = random.pick([orderTopics.events, orderTopics.state]).name;
      const forMs = random.integer(2_000, 6_000);
      return serverFault(scene, "settings", `of ${topic} for ${forMs} ms`, async () => {
        const setTo = (value: string) => administer(scene, (admin) => changeSetting(admin, topic, "max.message.bytes", value));
        const former = await setTo(String(SMALL_MESSAGE_BYTES));
        await delay(forMs);
        await setTo(former);
      });
    },
  },
  {
    name: "a right is taken away",
    weight: 3,
    begin(scene, random) {
      const right = random.pick(rights);
      const forMs = random.integer(1_000, 6_000);
      const text = `to ${right.operation} the ${right.of} ${right.name} for ${forMs} ms`;
      if (!scene.servers.isAuthorizing) return { text, over: Promise.resolve(false) };
      return serverFault(scene, "rights", text, async () => {
        await administer(scene, (admin) => takeRight(admin, right));
        await delay(forMs);
        await administer(scene, (admin) => giveRightBack(admin, right));
      });
    },
  },
];

/** With the projectors stopped, as the manual says, and the query services running. */
export async function setBack(scene: Scene, change: Change): Promise<void> {
  const release = await scene.system.hold("projector");
  await goBack(scene, (...place) => change(...place).finally(release));
}

type Change = (uri: string, database: string) => Promise<void>;

async function goBack({ servers, database, setBacks }: Scene, change: Change): Promise<void> {
  const interval = { fromMs: performance.now(), toMs: Number.POSITIVE_INFINITY };
  setBacks.push(interval);
  await change(servers.mongo.uri, database);
  interval.toMs = performance.now();
}

async function administer<Result>({ servers }: Scene, ask: (admin: Admin) => Promise<Result>): Promise<Result> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await withAdmin(servers.addresses, ask);
    } catch (error) {
      if (tries === ADMIN_TRIES) throw error;
      await delay(ADMIN_PAUSE_MS);
    }
  }
}
