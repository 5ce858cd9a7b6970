/** docs/operations.md as an operator follows it: every block is run, in order, in a folder where a `headwater dev` keeps its data. */

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openLog } from "../../../cmd/headwater/system/open.ts";
import { CommandStage } from "../../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { OrderCommandRecordSchema } from "../../../internal/gen/headwater/orders/v1/order_command_record_pb.ts";
import { OrderCommandService } from "../../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { parseConfig } from "../../../internal/platform/config.ts";
import { allOptions, systemOptions } from "../../../internal/process/options.ts";
import { type DevProcess, startDevProcess, temporaryFolder } from "../../support/dev-process.ts";
import { createGrpcClient } from "../../support/grpc-client.ts";
import { orderTopics } from "../../support/order-domain.ts";
import { newOrder } from "../../support/orders.ts";

const run = promisify(execFile);
const page = await readFile("docs/operations.md", "utf8");
const blocks = [...page.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block?.trim() ?? "");

/** What each block prints, in the order of the page. */
const expected = [
  /2 open dead letters, 0 closed; 0 parked keys/,
  /orders\.events\.v1 +forever +8 +2/,
  /first {2}orderCreated/,
  /order first, version 2/,
  /587cdce1bdba +open[\s\S]*a9c1b4864cee +open/,
  /id +587cdce1bdba\nstate +open/,
  /a9c1b4864cee is sent again as 00000000-0000-4000-8000-000000000001: accepted/,
  /587cdce1bdba is skipped/,
  /^view +generation[\s\S]*\norders +orders\.v/,
  /orders/,
  /nothing is parked/,
  /^$/,
  /^$/,
];

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let dev: DevProcess;

beforeAll(async () => {
  folder = await temporaryFolder();
  const directory = join(folder.path, "data");
  dev = await startDevProcess({ directory });
  await leaveDeadLetters(directory);
  using commands = createGrpcClient(dev.commandAddress);
  const { createOrder, placeOrder } = OrderCommandService.method;
  await commands.call(createOrder, newOrder("first"));
  await commands.call(placeOrder, { orderId: "first", options: { waitFor: CommandStage.PROJECTED } });
});
afterAll(async () => {
  await dev[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

it("the page has as many commands as are expected here", () => expect(blocks).toHaveLength(expected.length));

blocks.forEach((block, index) => {
  it(`works: ${block}`, async () => {
    const command = block.replace("npm run headwater --", `${process.execPath} ${join(process.cwd(), "cmd", "headwater", "main.ts")}`);
    const { stdout } = await run("bash", ["-c", command], { cwd: folder.path });
    expect(stdout).toMatch(expected[index] ?? /^$/);
  });
});

/** The ids of the letters follow from what they hold. */
async function leaveDeadLetters(directory: string): Promise<void> {
  const values = parseConfig(systemOptions, { args: ["--data", directory], environment: {}, shared: allOptions });
  await using log = await openLog(values);
  const orderId = "misplaced";
  const record = create(OrderCommandRecordSchema, {
    metadata: { commandId: "00000000-0000-4000-8000-000000000001", aggregateId: orderId },
    command: { command: { case: "createOrder", value: newOrder(orderId) } },
  });
  const value = toBinary(OrderCommandRecordSchema, record);
  await log.append([
    { topic: orderTopics.commands.name, partition: 0, key: "scanner", value: new TextEncoder().encode("GET / HTTP/1.1") },
    { topic: orderTopics.commands.name, partition: 0, key: orderId, value },
  ]);
  const letters = { topic: orderTopics.deadLetters.name, partition: 0, from: 0, to: 2, signal: new AbortController().signal };
  await Array.fromAsync(await log.tail(letters));
}
