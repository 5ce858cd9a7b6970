/** `headwater import` as a process of its own: its account on stdout, its exit code, and what becomes of a run that is ended early. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, it } from "vitest";
import type { AccountSummary } from "../../../cmd/headwater/import/account.ts";
import { startDevProcess, temporaryFolder } from "../../support/dev-process.ts";
import { expectedOf } from "./account.ts";
import { type Addresses, connect, runImport } from "./running-import.ts";

const FILE = "examples/online-retail/lines.csv";
const HEADER = "invoice_no,invoice_date,customer_id,country,quantity,unit_price_gbp";

/** Nobody listens there. */
const nowhere: Addresses = { commandAddress: "127.0.0.1:1", queryAddress: "127.0.0.1:1" };

it.each(["SIGKILL", "SIGINT"] as const)("a run that %s ends is completed by the next one", async (signal) => {
  await using dev = await startDevProcess();
  const importer = startImporter(FILE, dev);
  await untilOrders(50, dev);
  importer.child.kill(signal);
  const { exitCode, output } = await importer.ended;
  expect(exitCode).toBe(signal === "SIGKILL" ? null : 1);
  expect(output.includes("unfinished")).toBe(signal === "SIGINT");

  const rest = await accountOf(FILE, dev);
  const { rows, imported, unmatched, orders, returns } = await expectedOf(FILE);
  expect(rest).toMatchObject({ rows, imported, unmatched, orders, returns, unfinished: 0 });
  expect(rest.alreadyThere).toBeGreaterThan(50);
  expect(rest.alreadyThere).toBeLessThan(rest.commands);
  expect((await runImport(FILE, dev)).summary).toMatchObject({ imported, orders, returns, alreadyThere: rest.commands });
});

it("an order that has forgotten its oldest commands is known again by its history", async () => {
  await using folder = await temporaryFolder();
  await using dev = await startDevProcess();
  const path = join(folder.path, "many-returns.csv");
  const row = (number: string, quantity: number) => `${number},2010-12-01T08:26:00Z,7,France,${quantity},1.50`;
  const returns = Array.from({ length: 70 }, (_, index) => row(`C${index}`, -1));
  await writeFile(path, [HEADER, row("1", 1_000), ...returns].join("\n"));
  const counts = { rows: 71, imported: 71, unmatched: 0, orders: 1, returns: 70 };
  expect(await accountOf(path, dev)).toMatchObject(counts);
  expect(await accountOf(path, dev)).toMatchObject(counts);
});

it("a file that cannot be read, or has another header, is refused before anything is sent", async () => {
  const missing = await startImporter("no-such-file.csv", nowhere).ended;
  expect(missing).toMatchObject({ exitCode: 1, output: "", errors: expect.stringContaining("no-such-file.csv") });
  const other = await startImporter("package.json", nowhere).ended;
  expect(other).toMatchObject({ exitCode: 1, output: "", errors: expect.stringContaining("header") });
});

it("a server that does not come in time ends the run, which says so and gives the account so far", async () => {
  const { exitCode, output, errors } = await startImporter(FILE, nowhere, "--json", "--timeout", "3").ended;
  expect(exitCode).toBe(1);
  expect(JSON.parse(output)).toMatchObject({ rows: 10_000, imported: 0, orders: 0, commands: 0 });
  expect(errors).toContain("no answer from http://127.0.0.1:1");
});

async function accountOf(file: string, addresses: Addresses): Promise<AccountSummary> {
  const { exitCode, output, errors } = await startImporter(file, addresses, "--json").ended;
  if (exitCode !== 0) throw new Error(`headwater import ended with ${exitCode}:\n${errors}`);
  return JSON.parse(output) as AccountSummary;
}

function startImporter(file: string, { commandAddress, queryAddress }: Addresses, ...flags: readonly string[]) {
  const urls = ["--command-url", `http://${commandAddress}`, "--query-url", `http://${queryAddress}`];
  const args = ["cmd/headwater/main.ts", "import", file, ...urls, ...flags];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  return { child, ended: endOf(child) };
}

async function endOf(child: ChildProcess) {
  const { stdout, stderr } = child;
  if (stdout === null || stderr === null) throw new Error("the importer has no pipes");
  const [[exitCode], output, errors] = await Promise.all([once(child, "exit"), text(stdout), text(stderr)]);
  return { exitCode: exitCode as number | null, output, errors };
}

/** @throws {Error} they are not there in time */
async function untilOrders(count: number, addresses: Addresses): Promise<void> {
  using headwater = connect(addresses);
  const deadlineMs = performance.now() + 20_000;
  while ((await headwater.queries.listOrders({ pageSize: count })).orders.length < count) {
    if (performance.now() > deadlineMs) throw new Error(`there are no ${count} orders`);
  }
}
