/** An import goes on through twenty kills of the whole system, and nothing that was acknowledged is lost, doubled or changed. */

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { Receipt } from "../../../sdk/src/index.ts";
import { freePorts, startDevProcess, temporaryFolder } from "../../support/dev-process.ts";
import { readEverything, runImport } from "./running-import.ts";

const FILE = "examples/online-retail/invoices.csv";
const KILLS = 20;

/** The first of the file, so that all twenty kills take a minute or two. */
const ROWS = 8_000;

/** The kills fall among so many of the import's commands, which are some more. */
const COMMANDS = 30_000;

const DEADLINE_MS = 900_000;

it("an import that is disturbed by kill -9 ends like one that is not", { timeout: DEADLINE_MS }, async () => {
  const seed = Number(process.env["HEADWATER_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
  console.log(`kill.test.ts: HEADWATER_SEED=${seed}`);
  await using folder = await temporaryFolder();
  const file = join(folder.path, "invoices.csv");
  await writeFile(
    file,
    (await readFile(FILE, "utf8"))
      .split("\n")
      .slice(0, ROWS + 1)
      .join("\n"),
  );
  const disturbed = await importWithKills(file, momentsOf(seed));
  const undisturbed = await importUndisturbed(file);

  const { seconds: _, commandsPerSecond: _rate, alreadyThere: _there, ...summary } = undisturbed.summary;
  expect(disturbed.summary).toMatchObject(summary);
  expect(disturbed.killed).toBe(KILLS);
  expect(missing(disturbed.receipts, disturbed.state.commands)).toEqual([]);
  expect(withGaps(disturbed.state.versions)).toEqual([]);
  expect(disturbed.state.orders.size).toBe(summary.orders);
  expect(differing(disturbed.state.orders, undisturbed.state.orders)).toEqual([]);
  expect(differing(disturbed.state.histories, undisturbed.state.histories)).toEqual([]);
  expect(disturbed.state.customers.size).toBeGreaterThan(1_000);
  expect(differing(disturbed.state.customers, undisturbed.state.customers)).toEqual([]);
  expect(disturbed.state.days).toEqual(undisturbed.state.days);
});

it("a lost receipt, a gap and a difference would be noticed", () => {
  const commands = new Map([["a", ["create", "place"]]]);
  expect(missing([{ aggregateId: "a", version: 3, commandId: "pay" }], commands)).toEqual(["a/3"]);
  expect(missing([{ aggregateId: "a", version: 2, commandId: "pay" }], commands)).toEqual(["a/2"]);
  expect(missing([{ aggregateId: "a", version: 2, commandId: "place" }], commands)).toEqual([]);
  expect(
    withGaps(
      new Map([
        ["a", [1, 2]],
        ["b", [1, 3]],
      ]),
    ),
  ).toEqual(["b"]);
  expect(differing(new Map([["a", "1"]]), new Map([["b", "1"]]))).toEqual(["a", "b"]);
});

async function importWithKills(file: string, moments: readonly number[]) {
  await using folder = await temporaryFolder();
  const ports = await freePorts();
  const start = () => startDevProcess({ directory: folder.path, ports });
  let dev = await start();
  const receipts: Receipt[] = [];
  let killed = 0;
  let kills = Promise.resolve();
  try {
    const { summary, token } = await runImport(file, dev, (receipt) => {
      receipts.push(receipt);
      if (!moments.includes(receipts.length)) return;
      kills = kills.then(async () => {
        await dev.kill("SIGKILL");
        killed++;
        dev = await start();
      });
    });
    await kills;
    return { summary, receipts, killed, state: await readEverything(dev, token) };
  } finally {
    await kills.catch(() => {});
    await dev[Symbol.asyncDispose]();
  }
}

async function importUndisturbed(file: string) {
  await using dev = await startDevProcess();
  const { summary, token } = await runImport(file, dev);
  return { summary, state: await readEverything(dev, token) };
}

/** After how many receipts the system is killed: one moment in each part of the import. */
function momentsOf(seed: number): readonly number[] {
  const part = COMMANDS / KILLS;
  let state = seed;
  return Array.from({ length: KILLS }, (_, index) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return index * part + 1 + Math.floor((state / 2 ** 32) * (part - 1));
  });
}

/** The receipts whose command is not behind the event that they name. */
function missing(
  receipts: readonly Pick<Receipt, "aggregateId" | "version" | "commandId">[],
  commands: ReadonlyMap<string, readonly string[]>,
): readonly string[] {
  return receipts
    .filter(({ aggregateId, version, commandId }) => commands.get(aggregateId)?.[version - 1] !== commandId)
    .map(({ aggregateId, version }) => `${aggregateId}/${version}`);
}

function withGaps(versions: ReadonlyMap<string, readonly number[]>): readonly string[] {
  return [...versions].filter(([, history]) => history.some((version, index) => version !== index + 1)).map(([orderId]) => orderId);
}

function differing(one: ReadonlyMap<string, unknown>, other: ReadonlyMap<string, unknown>): readonly string[] {
  const keys = new Set([...one.keys(), ...other.keys()]);
  return [...keys].filter((key) => JSON.stringify(one.get(key)) !== JSON.stringify(other.get(key)));
}
