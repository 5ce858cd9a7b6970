/** What operators and disks do: documents dropped and set back, settings that refuse, more processes for a while, broken copies of the state. */

import { cp, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { orderTopics } from "../../internal/orders/topics.ts";
import { copyDocuments, dropDocuments, putDocumentsBack } from "./documents.ts";
import { type Fault, type Scene, serverFault } from "./faults.ts";
import { changeSetting, withAdmin } from "./kafka-admin.ts";
import type { Random } from "./random.ts";

/** Settings of a topic are changed while the brokers that have it may be away: then the fault has not happened. */
const ADMIN_TRIES = 20;
const ADMIN_PAUSE_MS = 1_000;

/** Below what a large order needs, and above all else. */
const SMALL_MESSAGE_BYTES = 100_000;

export const operatorFaults: readonly Fault[] = [
  {
    name: "drop documents",
    weight: 2,
    begin: (scene) => serverFault(scene, "documents", "and build them again", () => setBack(scene, dropDocuments)),
  },
  {
    name: "set documents back",
    weight: 2,
    begin(scene, random) {
      const afterMs = random.integer(2_000, 8_000);
      return serverFault(scene, "documents", `by ${afterMs} ms`, async () => {
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
        const former = await setMessageBytes(scene, topic, String(SMALL_MESSAGE_BYTES));
        await delay(forMs);
        await setMessageBytes(scene, topic, former);
      });
    },
  },
  brokenCopy("breaks the header of", async (file) => overwrite(file, 0, 100)),
  brokenCopy("breaks pages of", async (file, random) => {
    const pages = Math.floor((await stat(file)).size / PAGE_BYTES);
    if (pages > 2) await overwrite(file, random.integer(1, pages - 1) * PAGE_BYTES, random.integer(1, 8) * PAGE_BYTES);
  }),
  brokenCopy("cuts off", async (file, random) => {
    const { size } = await stat(file);
    const handle = await open(file, "r+");
    await handle.truncate(random.integer(0, size));
    await handle.close();
  }),
  {
    name: "state copy set back",
    weight: 2,
    begin({ system }, random) {
      const handler = random.pick(system.named("command-handler"));
      const afterMs = random.integer(2_000, 8_000);
      const former = (folder: string) => `${folder}.former`;
      const over = (async () => {
        await handler.killAndChange((folder) => replaceFolder(folder, former(folder)));
        await delay(afterMs);
        await handler.killAndChange((folder) => replaceFolder(former(folder), folder));
        return true;
      })();
      return { text: `${handler.instance} by ${afterMs} ms`, over };
    },
  },
];

const PAGE_BYTES = 4_096;

/** With the projectors stopped, as the manual says, and the query services running. */
async function setBack(
  { servers, system, database, setBacks }: Scene,
  change: (uri: string, database: string) => Promise<void>,
): Promise<void> {
  const release = await system.hold("projector");
  const interval = { fromMs: performance.now(), toMs: Number.POSITIVE_INFINITY };
  setBacks.push(interval);
  await change(servers.mongo.uri, database).finally(release);
  interval.toMs = performance.now();
}

async function setMessageBytes({ servers }: Scene, topic: string, value: string): Promise<string> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await withAdmin(servers.addresses, (admin) => changeSetting(admin, topic, "max.message.bytes", value));
    } catch (error) {
      if (tries === ADMIN_TRIES) throw error;
      await delay(ADMIN_PAUSE_MS);
    }
  }
}

/** A disk that has lost or mixed up what was written to it. */
function brokenCopy(what: string, damage: (file: string, random: Random) => Promise<void>): Fault {
  return {
    name: `a disk ${what} a state copy`,
    weight: 1,
    begin({ system }, random) {
      const handler = random.pick(system.named("command-handler"));
      const over = handler.killAndChange(async (folder) => {
        for (const file of await databasesIn(folder)) await damage(file, random);
      });
      return { text: handler.instance, over: over.then(() => true) };
    },
  };
}

async function databasesIn(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  return names.filter((name) => name.endsWith(".sqlite")).map((name) => join(folder, name));
}

async function overwrite(file: string, at: number, length: number): Promise<void> {
  const handle = await open(file, "r+");
  const { size } = await handle.stat();
  const bytes = Math.max(0, Math.min(length, size - at));
  await handle.write(Buffer.alloc(bytes, 0xa5), 0, bytes, at);
  await handle.close();
}

async function replaceFolder(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await cp(from, to, { recursive: true }).catch(() => undefined);
}
