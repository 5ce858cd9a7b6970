/** A broker that lets nobody in without asking: TLS, passwords, certificates and ACLs, each on a listener of its own. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Authority, type Certificate, createAuthority } from "./certificates.ts";
import { type KafkaServer, startKafka } from "./kafka-server.ts";
import { freePorts } from "./ports.ts";

export interface SecureKafka extends AsyncDisposable {
  /** Everybody who reaches this listener may do everything. */
  readonly kafka: KafkaServer;
  /** Where each security protocol is spoken. SSL demands a certificate of the client, the others a password. */
  readonly addresses: Readonly<Record<"SSL" | "SASL_SSL" | "SASL_PLAINTEXT", string>>;
  readonly authority: Authority;
  readonly client: Certificate;
  readonly folder: string;
}

export interface SecureKafkaOptions {
  /** Users with their passwords. */
  readonly passwords: Readonly<Record<string, string>>;
  /** Those who may do everything; the others need ACLs. So may whoever has a certificate. */
  readonly superUsers?: readonly string[];
}

export async function startSecureKafka({ passwords, superUsers = [] }: SecureKafkaOptions): Promise<SecureKafka> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "headwater-secure-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const authority = await createAuthority(folder, "authority");
  const broker = await authority.issue("broker", "IP:127.0.0.1");
  const client = await authority.issue("client");
  const [ssl, saslSsl, saslPlaintext] = (await freePorts(3)).map((port) => `127.0.0.1:${port}`);
  const addresses = { SSL: ssl ?? "", SASL_SSL: saslSsl ?? "", SASL_PLAINTEXT: saslPlaintext ?? "" };
  const settings = {
    ...tlsSettings(broker, authority),
    ...saslSettings("sasl_ssl", passwords),
    ...saslSettings("sasl_plaintext", passwords),
    "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": ["ANONYMOUS", "CN=client", ...superUsers].map((name) => `User:${name}`).join(";"),
  };
  const kafka = stack.use(await startKafka({ settings, listeners: addresses, scramPasswords: passwords }));
  const owned = stack.move();
  return { kafka, addresses, authority, client, folder, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function tlsSettings(broker: Certificate, authority: Authority): Readonly<Record<string, string>> {
  return {
    "ssl.keystore.type": "PEM",
    "ssl.keystore.location": broker.bundle,
    "ssl.truststore.type": "PEM",
    "ssl.truststore.location": authority.certificate,
    "listener.name.ssl.ssl.client.auth": "required",
  };
}

function saslSettings(listener: string, passwords: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const users = Object.entries(passwords).map(([name, password]) => ` user_${name}="${password}"`);
  const security = "org.apache.kafka.common.security";
  return {
    [`listener.name.${listener}.plain.sasl.jaas.config`]: `${security}.plain.PlainLoginModule required${users.join("")};`,
    [`listener.name.${listener}.scram-sha-512.sasl.jaas.config`]: `${security}.scram.ScramLoginModule required;`,
  };
}
