/** Certificates as an operator makes them, with openssl. */

import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Paths of PEM files. */
export interface Certificate {
  readonly certificate: string;
  readonly key: string;
  /** Both in one file, as Kafka and MongoDB read them. */
  readonly bundle: string;
}

/** An authority, by which it signs. */
export interface Authority {
  readonly certificate: string;
  /** Signs a certificate for a name, and for the addresses where a server listens, such as IP:127.0.0.1. */
  issue(name: string, addresses?: string): Promise<Certificate>;
}

export async function createAuthority(folder: string, name: string): Promise<Authority> {
  const authority = pathsOf(folder, name);
  await openssl("req", "-x509", ...newKey(authority.key), "-subj", `/CN=${name}`, "-out", authority.certificate);
  return {
    certificate: authority.certificate,
    async issue(subject, addresses) {
      const issued = pathsOf(folder, subject);
      const names = addresses === undefined ? [] : ["-addext", `subjectAltName=${addresses}`];
      const signer = ["-CA", authority.certificate, "-CAkey", authority.key];
      await openssl("req", "-x509", ...newKey(issued.key), "-subj", `/CN=${subject}`, ...names, ...signer, "-out", issued.certificate);
      await writeFile(issued.bundle, [await readFile(issued.key), await readFile(issued.certificate)].join("\n"));
      return issued;
    },
  };
}

function pathsOf(folder: string, name: string): Certificate {
  const path = join(folder, name);
  return { certificate: `${path}.crt`, key: `${path}.key`, bundle: `${path}.pem` };
}

function newKey(path: string): readonly string[] {
  return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-keyout", path];
}

async function openssl(...args: readonly string[]): Promise<void> {
  await run("openssl", args);
}
