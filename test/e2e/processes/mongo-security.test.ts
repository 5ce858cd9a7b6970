/** A MongoDB that demands TLS, a password and a role. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MongoClient } from "mongodb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createAuthority } from "../../support/certificates.ts";
import { endOf } from "../../support/ended-process.ts";
import { healthOf } from "../../support/health.ts";
import { startKafka } from "../../support/kafka-server.ts";
import { startMongo } from "../../support/mongo-server.ts";
import { startProcess } from "../../support/processes.ts";
import { kafka as kafkaSource, mongo as mongoSource } from "../../support/servers.ts";

const passwords = { projector: "p/1", "query-service": "q:2" };

describe.skipIf(kafkaSource === undefined || mongoSource?.kind !== "program")("a MongoDB that asks who is there", () => {
  const stack = new AsyncDisposableStack();
  let folder: string;
  let addressOf: (user: keyof typeof passwords, password?: string) => string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "headwater-mongo-security-"));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    const authority = await createAuthority(folder, "authority");
    const { bundle } = await authority.issue("server", "IP:127.0.0.1");
    const keyFile = join(folder, "key");
    await writeFile(keyFile, "bWVtYmVycyBvbmx5", { mode: 0o400 });
    // Preferred, so that the test can begin without TLS.
    const tls = ["--tlsMode", "preferTLS", "--tlsCertificateKeyFile", bundle, "--tlsCAFile", authority.certificate];
    const mongo = stack.use(await startMongo({ args: ["--keyFile", keyFile, ...tls, "--tlsAllowConnectionsWithoutCertificates"] }));
    await createUsers(mongo.uri);
    addressOf = (user, password = passwords[user]) => {
      const address = new URL(mongo.uri);
      address.username = user;
      address.password = encodeURIComponent(password);
      address.search += `&authSource=admin&tls=true&tlsCAFile=${encodeURIComponent(authority.certificate)}`;
      return address.href;
    };
  });
  afterAll(() => stack.disposeAsync());

  it("lets the processes in with the roles that docs/production.md lists, and the address in a file", async () => {
    await using kafka = await startKafka();
    await using projector = await start("projector", kafka.brokers);
    await using queries = await start("query-service", kafka.brokers);
    for (const { address } of [projector, queries]) {
      await expect.poll(() => healthOf(address), { timeout: 20_000 }).toBe("SERVING");
    }
  });

  it("ends a process that has a wrong password, with what to do as its last line", async () => {
    const { code, lastLine, output } = await endOf("query-service", { HEADWATER_MONGO_URI: addressOf("query-service", "wrong-one") });
    expect(lastLine).toMatch(/query-service has ended: MongoDB refuses this client: .*Check the user, password/);
    expect(output).not.toContain("wrong-one");
    expect(code).toBe(1);
  });

  async function start(name: keyof typeof passwords, brokers: readonly string[]) {
    const path = join(folder, `${name}.uri`);
    await writeFile(path, `${addressOf(name)}\n`);
    // The file goes before the address, which would not let it in.
    return startProcess(name, { brokers, mongoUri: "mongodb://127.0.0.1:1", environment: { HEADWATER_MONGO_URI_FILE: path } });
  }
});

/** As long as there is no user, whoever comes from the same machine may make the first. */
async function createUsers(uri: string): Promise<void> {
  await withAdmin(uri, { createUser: "root", pwd: "root", roles: ["root"] });
  const rooted = uri.replace("//", "//root:root@");
  const roles = { projector: "readWrite", "query-service": "read" };
  for (const [user, pwd] of Object.entries(passwords)) {
    const role = roles[user as keyof typeof roles];
    await withAdmin(rooted, { createUser: user, pwd, roles: [{ role, db: "headwater" }] });
  }
}

async function withAdmin(uri: string, command: object): Promise<void> {
  const client = new MongoClient(uri);
  try {
    await client.db("admin").command(command);
  } finally {
    await client.close();
  }
}
