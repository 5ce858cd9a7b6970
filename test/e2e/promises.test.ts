/** What is promised to a client, held against the running process through its public API. */

import { randomUUID } from "node:crypto";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import { status as Code } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CommandStage, type Receipt } from "../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { ConsistencyTokenSchema } from "../../internal/gen/headwater/cqrs/v1/token_pb.ts";
import { OrderCommandService } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderStatus } from "../../internal/gen/headwater/orders/v1/order_pb.ts";
import { OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { freePorts, startDevProcess, temporaryFolder } from "../support/dev-process.ts";
import { CallError, createGrpcClient, type GrpcClient } from "../support/grpc-client.ts";
import { type RunningSystem, systems } from "../support/systems.ts";

const { createOrder, addLine, changeLineQuantity, placeOrder, cancelOrder, getCommandOutcome } = OrderCommandService.method;
const { getOrder, listOrderEvents, listOrders } = OrderQueryService.method;

for (const { title, start, isMissing } of systems) {
  describe.skipIf(isMissing)(title, () => {
    let system: RunningSystem;
    let commands: GrpcClient;
    let queries: GrpcClient;

    beforeAll(async () => {
      system = await start();
      commands = createGrpcClient(system.commandAddress);
      queries = createGrpcClient(system.queryAddress);
    });
    afterAll(async () => {
      commands[Symbol.dispose]();
      queries[Symbol.dispose]();
      await system[Symbol.asyncDispose]();
    });

    describe("a command id", () => {
      it("is decided once when it is sent twice at the same time, and both get the identical receipt", async () => {
        for (let round = 0; round < 50; round += 1) {
          const request = { ...newOrder(), options: { commandId: randomUUID() } };
          const [first, second] = await Promise.all([commands.call(createOrder, request), commands.call(createOrder, request)]);
          expect(second).toEqual(first);
          const history = await queries.call(listOrderEvents, {
            orderId: request.orderId,
            consistencyToken: first.receipt?.consistencyToken ?? "",
          });
          expect(history.events).toHaveLength(1);
        }
      });

      it("is decided once however many of its order are in flight, when all of them are sent again", async () => {
        const { aggregateId: orderId } = await created();
        const requests = Array.from({ length: 300 }, (_, index) => {
          return { orderId, lineId: "1", quantity: 3 + index, options: { commandId: randomUUID() } };
        });
        const sendAll = () => Promise.all(requests.map((request) => commands.call(changeLineQuantity, request)));
        const first = await sendAll();
        expect(await sendAll()).toEqual(first);
        expect(new Set(first.map(({ receipt }) => receipt?.version)).size).toBe(300);
        const consistencyToken = first.at(-1)?.receipt?.consistencyToken ?? "";
        expect((await queries.call(getOrder, { orderId, consistencyToken })).order?.version).toBe(301);
      });

      it("with other facts is a conflict, and changes nothing", async () => {
        const request = { ...newOrder(), options: { commandId: randomUUID() } };
        const { receipt } = await commands.call(createOrder, request);
        const error = await failure(commands.call(createOrder, { ...request, customerId: "somebody else" }));
        expect(error).toMatchObject({ code: Code.ALREADY_EXISTS, reason: "COMMAND_ID_REUSED" });
        const { order } = await queries.call(getOrder, { orderId: request.orderId, consistencyToken: receipt?.consistencyToken ?? "" });
        expect(order?.customerId).toBe(request.customerId);
      });

      it("tells its outcome later", async () => {
        const request = { ...newOrder(), options: { commandId: randomUUID() } };
        const { receipt } = await commands.call(createOrder, request);
        const found = await commands.call(getCommandOutcome, { orderId: request.orderId, commandId: request.options.commandId });
        expect(found.outcome).toEqual({ case: "receipt", value: receipt });
        const unknown = await failure(commands.call(getCommandOutcome, { orderId: request.orderId, commandId: randomUUID() }));
        expect(unknown).toMatchObject({ code: Code.NOT_FOUND, reason: "COMMAND_NOT_FOUND" });
      });
    });

    describe("an expected version", () => {
      it("lets one of two writers win and tells the other where the order is", async () => {
        const { aggregateId: orderId } = await created();
        const change = () => commands.call(addLine, { orderId, line: line("TEA"), options: { expectedVersion: 1 } });
        const results = await Promise.allSettled([change(), change()]);
        expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
        const lost = results.find((result) => result.status === "rejected");
        expect(lost?.reason).toMatchObject({ code: Code.ABORTED, reason: "VERSION_MISMATCH", metadata: { current_version: "2" } });
      });
    });

    describe("a read with the receipt's token", () => {
      it("shows the write, 10,000 times at once after it", async () => {
        const writers = 50;
        const rounds = 200;
        const stale: string[] = [];
        await Promise.all(
          Array.from({ length: writers }, async () => {
            const { aggregateId: orderId, ...first } = await created();
            let version = first.version;
            for (let round = 0; round < rounds; round += 1) {
              const { receipt } = await commands.call(changeLineQuantity, { orderId, lineId: "1", quantity: round + 2 });
              const { order } = await queries.call(getOrder, { orderId, consistencyToken: receipt?.consistencyToken ?? "" });
              if (receipt?.version !== version + 1 || (order?.version ?? 0) < receipt.version) stale.push(`${orderId}: ${order?.version}`);
              version += 1;
            }
          }),
        );
        expect(stale).toEqual([]);
      }, 300_000);

      it("waits for other views too", async () => {
        const { aggregateId: orderId, consistencyToken } = await created();
        const { events } = await queries.call(listOrderEvents, { orderId, consistencyToken });
        expect(events.map(({ event }) => event.case)).toEqual(["orderCreated"]);
        const { orders } = await queries.call(listOrders, { filter: { text: orderId }, consistencyToken });
        expect(orders.map((order) => order.orderId)).toEqual([orderId]);
      });

      it("says in time that it cannot yet", async () => {
        const { aggregateId: orderId, consistencyToken } = await created();
        const ahead = forged(consistencyToken, 1_000_000n);
        const startedMs = Date.now();
        const error = await failure(queries.call(getOrder, { orderId, consistencyToken: ahead }, { deadlineMs: 1_000 }));
        expect(error).toMatchObject({ code: Code.UNAVAILABLE, reason: "NOT_YET_VISIBLE" });
        expect(Date.now() - startedMs).toBeLessThan(5_000);
      });
    });

    describe("a stage", () => {
      it("ACCEPTED comes back before the decision, which follows all the same", async () => {
        const request = { ...newOrder(), options: { commandId: randomUUID(), waitFor: CommandStage.ACCEPTED } };
        const { receipt } = await commands.call(createOrder, request);
        expect(receipt).toMatchObject({ stage: CommandStage.ACCEPTED, version: 0 });
        const { outcome } = await commands.call(getCommandOutcome, { orderId: request.orderId, commandId: request.options.commandId });
        expect(outcome).toMatchObject({ case: "receipt", value: { version: 1 } });
      });

      it("PROJECTED means that a read without a token shows it", async () => {
        for (let round = 0; round < 50; round += 1) {
          const request = { ...newOrder(), options: { waitFor: CommandStage.PROJECTED } };
          const { receipt } = await commands.call(createOrder, request);
          expect(receipt).toMatchObject({ stage: CommandStage.PROJECTED, pendingViews: [] });
          const { order } = await queries.call(getOrder, { orderId: request.orderId });
          expect(order?.status).toBe(OrderStatus.DRAFT);
        }
      });

      it("PROJECTED of an unknown view is refused with the names of those there are", async () => {
        const options = { waitFor: CommandStage.PROJECTED, views: ["no-such-view"] };
        const error = await failure(commands.call(createOrder, { ...newOrder(), options }));
        expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: "FIELD_VIOLATIONS" });
        expect(error.message).toContain("order-history");
      });
    });

    describe("a session's token", () => {
      it("covers what it covered before", async () => {
        const first = await created();
        const second = await commands.call(createOrder, { ...newOrder(), options: { consistencyToken: first.consistencyToken } });
        const { order } = await queries.call(getOrder, {
          orderId: first.aggregateId,
          consistencyToken: second.receipt?.consistencyToken ?? "",
        });
        expect(order?.orderId).toBe(first.aggregateId);
      });
    });

    it("a refused command names the reason, the order and the version that refused it", async () => {
      const { aggregateId: orderId } = await created();
      await commands.call(cancelOrder, { orderId, reason: "changed my mind" });
      const error = await failure(commands.call(placeOrder, { orderId }));
      expect(error).toMatchObject({
        code: Code.FAILED_PRECONDITION,
        reason: "ORDER_CANCELLED",
        metadata: { aggregate_id: orderId, version: "2", current_version: "2" },
      });
    });

    async function created(): Promise<Receipt> {
      const { receipt } = await commands.call(createOrder, newOrder());
      if (receipt === undefined) throw new Error("no receipt");
      return receipt;
    }
  });
}

it("a command id gets its first answer again after a kill -9 and a restart, and so does a refusal", async () => {
  await using folder = await temporaryFolder();
  const ports = await freePorts();
  const request = { ...newOrder(), options: { commandId: randomUUID() } };
  const refused = { orderId: request.orderId, lineId: "none", options: { commandId: randomUUID() } };
  const before = await answers(folder.path, ports, request, refused);
  const after = await answers(folder.path, ports, request, refused);
  expect(after).toEqual(before);
});

async function answers(directory: string, ports: readonly [number, number, number], request: object, refused: object) {
  const process = await startDevProcess({ directory, ports });
  using client = createGrpcClient(process.commandAddress);
  const accepted = await client.call(createOrder, request);
  const rejected = await failure(client.call(OrderCommandService.method.removeLine, refused));
  await process.kill("SIGKILL");
  return { accepted, rejected: { reason: rejected.reason, message: rejected.message, metadata: rejected.metadata } };
}

function newOrder() {
  return {
    orderId: `order-${randomUUID()}`,
    customerId: "ada",
    currencyCode: "EUR",
    lines: [line("COFFEE")],
    shippingAddress: { country: "Ireland" },
  };
}

function line(sku: string) {
  return { sku, description: `A box of ${sku}`, quantity: 1, unitPrice: { currencyCode: "EUR", minorUnits: 1_000n } };
}

async function failure(call: Promise<unknown>): Promise<CallError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof CallError) return error;
  throw new Error(`expected a failed call, got ${String(error)}`);
}

function forged(token: string, sequence: bigint): string {
  const decoded = fromBinary(ConsistencyTokenSchema, base64Decode(token));
  for (const position of decoded.positions) position.sequences.fill(sequence);
  return base64Encode(toBinary(ConsistencyTokenSchema, decoded), "url");
}
