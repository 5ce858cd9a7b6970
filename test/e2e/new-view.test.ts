/** The page about a new view, followed as it stands in a copy of the repository: its query is served, and does all that the page says. */

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CommandStage, type Session } from "../../sdk/src/index.ts";
import { connectGrpc } from "../../sdk/src/node.ts";
import { type DevProcess, startDevProcess } from "../support/dev-process.ts";
import { grpcurl } from "../support/tools.ts";
import { changesIn, copyTree, sectionOf, type TreeCopy } from "../support/tree-copy.ts";

const page = await readFile("docs/new-view.md", "utf8");
const contract = changesIn(sectionOf(page, "1. The question, in the contract"));
const [view] = changesIn(sectionOf(page, "2. The view and its query"));
const table = changesIn(sectionOf(page, "3. The table"));
const ask = sectionOf(page, "Ask");

let copy: TreeCopy;
beforeAll(async () => {
  copy = await copyTree();
  for (const change of contract) await copy.apply(change);
  await copy.run("npm run -s generate");
});
afterAll(() => copy[Symbol.asyncDispose]());

it("the view and its query are one file of less than thirty lines", () => {
  expect(view?.text.trimEnd().split("\n").length).toBeLessThan(30);
});

it("a query that is not in the table does not compile, and one that is does", async () => {
  if (view !== undefined) await copy.apply(view);
  expect(await copy.refusal("tsc")).toContain("Property 'getCarrier' is missing");
  for (const change of table) await copy.apply(change);
  await copy.run("tsc && npm run -s proto:lint && npm run -s proto:format && biome check internal/orders");
});

describe("the new query", () => {
  let dev: DevProcess;
  beforeAll(async () => {
    dev = await startDevProcess({ tree: copy.path });
  });
  afterAll(() => dev[Symbol.asyncDispose]());

  it("is in the SDK, and a command can wait for its view", async () => {
    const servers = { commandUrl: `http://${dev.commandAddress}`, queryUrl: `http://${dev.queryAddress}` };
    using client = connectGrpc(servers);
    await ship(client.session());
    // The contract of the copy has a query more than the types here.
    const sdk = (await import(join(copy.path, "sdk/src/node.ts"))) as { connectGrpc(options: typeof servers): NewClient };
    using newClient = sdk.connectGrpc(servers);
    const session = newClient.session();
    expect(await session.getCarrier({ name: "An Post" })).toMatchObject({ carrier: { parcelCount: 1n } });
    await expect(session.getCarrier({ name: "nobody" })).rejects.toThrow("took no parcel yet");
  });

  it.skipIf(grpcurl === undefined)("answers as it is shown", async () => {
    const { command = "", shown = "" } = /```sh\n(?<command>[^`]+)```\n+```text\n(?<shown>[^`]+)```/.exec(ask)?.groups ?? {};
    const env = { ...process.env, PATH: [dirname(grpcurl ?? ""), process.env["PATH"]].join(delimiter) };
    const { stdout } = await promisify(execFile)("bash", ["-c", command.replace("127.0.0.1:50052", dev.queryAddress)], { env });
    expect(stdout.replace(/(?<="consistencyToken": ")[^"]+/, "…")).toBe(shown);
  });
});

interface NewClient extends Disposable {
  session(): { getCarrier(request: { readonly name: string }): Promise<object> };
}

/** As in the README; the last step waits for the new view alone. */
async function ship(session: Session): Promise<void> {
  const order = { orderId: "first" };
  const unitPrice = { currencyCode: "EUR", minorUnits: 450n };
  const lines = [{ sku: "TEA", quantity: 2, unitPrice }];
  await session.createOrder({ ...order, currencyCode: "EUR", shippingAddress: { country: "Ireland" }, lines });
  await session.placeOrder(order);
  await session.recordPayment({ ...order, amount: { currencyCode: "EUR", minorUnits: 900n }, method: "card" });
  const occurredAt = timestampFromDate(new Date("2025-06-01T09:30:00Z"));
  const options = { occurredAt, waitFor: CommandStage.PROJECTED, views: ["carriers"] };
  const { stage, pendingViews } = await session.shipOrder({ ...order, carrier: "An Post", options });
  expect({ stage, pendingViews }).toEqual({ stage: CommandStage.PROJECTED, pendingViews: [] });
}
