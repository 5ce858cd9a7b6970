/** Both domains, as a client sees them that has gRPC and nothing else: one session over all services, and retries by gRPC itself. */

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { create, type DescMessage, type DescMethodUnary, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { Client, credentials, type Interceptor, Metadata, type ServiceError } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serviceConfig, session } from "../../examples/plain-grpc/session.ts";
import { BadRequestSchema } from "../../internal/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../internal/gen/google/rpc/status_pb.ts";
import type { Receipt } from "../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { ConsistencyTokenSchema } from "../../internal/gen/headwater/cqrs/v1/token_pb.ts";
import {
  ExecuteRequestSchema,
  ExecuteResponseSchema,
  OrderCommandService,
} from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { TicketCommandService } from "../../internal/gen/headwater/tickets/v1/ticket_command_service_pb.ts";
import { TicketStatus } from "../../internal/gen/headwater/tickets/v1/ticket_pb.ts";
import { TicketQueryService } from "../../internal/gen/headwater/tickets/v1/ticket_query_service_pb.ts";
import { startDevProcess } from "../support/dev-process.ts";
import { CallError } from "../support/grpc-client.ts";
import { type RunningSystem, systems } from "../support/systems.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";

const { createOrder, addLine } = OrderCommandService.method;
const { getOrder, listOrderEvents } = OrderQueryService.method;
const { openTicket, assignTicket, commentTicket, closeTicket } = TicketCommandService.method;
const { getTicket, getWorkload, listTickets } = TicketQueryService.method;

it("the session of the example is an interceptor of at most 30 lines", () => {
  const lines = readFileSync("examples/plain-grpc/session.ts", "utf8").split("\n");
  const start = lines.findIndex((line) => line.startsWith("export function session"));
  expect(lines.slice(start).filter((line) => line !== "").length).toBeLessThanOrEqual(30);
});

for (const { title, start, isMissing } of systems) {
  describe.skipIf(isMissing)(title, () => {
    let system: RunningSystem;
    beforeAll(async () => {
      system = await start();
    });
    afterAll(() => system[Symbol.asyncDispose]());

    it("one session reads its own writes in both domains, with no token in sight", async () => {
      const own = session();
      using commands = connect(system.commandAddress, own);
      using queries = connect(system.queryAddress, own);
      for (let round = 1; round <= 20; round += 1) {
        const [orderId, ticketId] = [randomUUID(), randomUUID()];
        await commands.call(createOrder, { orderId, currencyCode: "EUR" });
        await commands.call(openTicket, { ticketId, subject: "Where is my tea?", reporter: "ada" });
        await commands.call(assignTicket, { ticketId, assignee: title });
        const [order, ticket, workload] = await Promise.all([
          queries.call(getOrder, { orderId }),
          queries.call(getTicket, { ticketId }),
          queries.call(getWorkload, { assignee: title }),
        ]);
        expect(order.order).toMatchObject({ orderId, version: 1 });
        expect(ticket.ticket).toMatchObject({ ticketId, version: 2, assignee: title });
        expect(workload.workload).toMatchObject({ openTickets: BigInt(round) });
      }
    });

    it("a ticket is found by who has it and how it stands, from opening to closing", async () => {
      const own = session();
      using commands = connect(system.commandAddress, own);
      using queries = connect(system.queryAddress, own);
      const [ticketId, assignee] = [randomUUID(), randomUUID()];
      await commands.call(openTicket, { ticketId, subject: "Where is my tea?", reporter: "ada" });
      await commands.call(assignTicket, { ticketId, assignee });
      await commands.call(commentTicket, { ticketId, author: "bob", text: "On its way." });
      const ids = async (filter: object) => (await queries.call(listTickets, filter)).tickets.map((ticket) => ticket.ticketId);
      expect(await ids({ assignee, status: TicketStatus.OPEN })).toEqual([ticketId]);
      expect(await ids({ assignee, status: TicketStatus.CLOSED })).toEqual([]);
      await commands.call(closeTicket, { ticketId, resolution: "It came." });
      expect(await ids({ assignee, status: TicketStatus.OPEN })).toEqual([]);
      expect(await ids({ assignee })).toEqual([ticketId]);
      expect(await ids({ status: TicketStatus.CLOSED })).toContain(ticketId);
      const { ticket } = await queries.call(getTicket, { ticketId });
      expect(ticket).toMatchObject({ version: 4, resolution: "It came.", comments: [{ author: "bob", text: "On its way." }] });
      expect((await queries.call(getWorkload, { assignee })).workload).toMatchObject({ openTickets: 0n, closedTickets: 1n });
      expect(await queries.failure(getTicket, { ticketId: "nobody" })).toMatchObject({ code: 5 });
      expect(await commands.failure(assignTicket, { ticketId, assignee: "eve" })).toMatchObject({ code: 9, reason: "TICKET_CLOSED" });
    });

    it("a command whose answer is lost is retried by gRPC itself, and decided once", async () => {
      await using proxy = await startTcpProxy(system.commandAddress);
      const own = session();
      using commands = connect(proxy.address, own);
      using queries = connect(system.queryAddress, own);
      const orderId = randomUUID();
      await commands.call(createOrder, { orderId, currencyCode: "EUR" });
      const line = { lineId: "1", sku: "TEA", quantity: 2, unitPrice: { currencyCode: "EUR", minorUnits: 450n } };
      proxy.resetAt({ request: orderId, moment: "behind the request" });
      const added = commands.call(addLine, { orderId, line });
      await expect.poll(() => proxy.struck, { timeout: 10_000 }).toBeGreaterThan(0);
      proxy.resetAt(undefined);
      expect((await added).receipt).toMatchObject({ version: 2 });
      expect((await queries.call(listOrderEvents, { orderId })).events).toHaveLength(2);
    });

    it("a token of another domain is refused in a field, and answered unchanged in the metadata", async () => {
      using commands = connect(system.commandAddress);
      using queries = connect(system.queryAddress);
      const orderId = randomUUID();
      const { receipt } = await commands.call(createOrder, { orderId, currencyCode: "EUR" });
      const consistencyToken = receipt?.consistencyToken ?? "";
      const refused = await queries.failure(getWorkload, { assignee: "ada", consistencyToken });
      expect(refused).toMatchObject({ code: 3, violations: [{ field: "consistency_token", reason: "TOKEN_OF_ANOTHER_STREAM" }] });
      expect(refused.message).toMatch(/counts another stream of events \(another domain or cluster.*drop it and read again/);
      const ticket = { ticketId: randomUUID(), subject: "x", reporter: "ada", options: { consistencyToken } };
      expect(await commands.failure(openTicket, ticket)).toMatchObject({ code: 3, violations: [{ field: "options.consistency_token" }] });
      await commands.call(openTicket, { subject: "x", reporter: "ada" });
      const answered = await commands.tokens(openTicket, { subject: "y", reporter: "ada" }, [consistencyToken]);
      expect(answered).toEqual([expect.any(String), consistencyToken]);
      const [own = ""] = answered;
      const merged = await queries.tokens(getOrder, { orderId }, [consistencyToken, own, consistencyToken]);
      expect(merged).toEqual([expect.any(String), own]);
    });

    it("a stream of commands is answered with one token for all of them", async () => {
      using commands = connect(system.commandAddress);
      const { receipts, trailers } = await commands.execute(Array.from({ length: 12 }, () => randomUUID()));
      const [own = "", ...others] = trailers;
      expect(others).toEqual([]);
      const covered = sequencesIn(own);
      expect(receipts).toHaveLength(12);
      for (const { consistencyToken } of receipts) {
        for (const [partition, sequence] of sequencesIn(consistencyToken)) expect(covered.get(partition)).toBeGreaterThanOrEqual(sequence);
      }
      expect(covered.size).toBeGreaterThan(1);
    });

    it.each([
      ["what is no token", "headwater-token", ["nonsense!"], "INVALID_TOKEN"],
      ["more than 6 KiB of tokens", "headwater-token", ["A".repeat(4_000), "B".repeat(2_200)], "INVALID_TOKEN"],
      ["an empty idempotency key", "idempotency-key", [""], "INVALID_IDEMPOTENCY_KEY"],
      ["one that is too long", "idempotency-key", ["k".repeat(256)], "INVALID_IDEMPOTENCY_KEY"],
    ])("%s is refused with a reason", async (_what, name, values, reason) => {
      using commands = connect(system.commandAddress);
      const metadata = new Metadata();
      for (const value of values) metadata.add(name, value);
      const refused = await commands.failure(createOrder, { orderId: randomUUID(), currencyCode: "EUR" }, metadata);
      expect(refused).toMatchObject({ code: 3, violations: [{ field: name, reason }] });
    });

    it("a key that is no UUID is one command of its method, and a key is refused where there are many commands", async () => {
      using commands = connect(system.commandAddress);
      const key = (): Metadata => {
        const metadata = new Metadata();
        metadata.set("idempotency-key", `basket 7 of ${title}`);
        return metadata;
      };
      const order = { currencyCode: "EUR" };
      const [first, again] = [await commands.call(createOrder, order, key()), await commands.call(createOrder, order, key())];
      expect(again.receipt).toEqual(first.receipt);
      expect(first.receipt?.commandId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5/);
      const ticket = await commands.call(openTicket, { subject: "x", reporter: "ada" }, key());
      expect(ticket.receipt?.commandId).not.toBe(first.receipt?.commandId);
      expect(await commands.executeFailure(key())).toMatchObject({ code: 3, violations: [{ field: "idempotency-key" }] });
    });
  });
}

it("the gateway serves both domains, and passes on keys and tokens", async () => {
  await using dev = await startDevProcess();
  const post = (method: string, request: object, headers: Readonly<Record<string, string>> = {}) =>
    fetch(`http://${dev.gatewayAddress}/headwater.${method}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(request),
    });
  const key = { "idempotency-key": "basket 7" };
  const createBasket = () => post("orders.v1.OrderCommandService/CreateOrder", { currencyCode: "EUR" }, key);
  const [first, again] = [await createBasket(), await createBasket()];
  expect(await again.json()).toEqual(await first.json());
  const token = first.headers.get("trailer-headwater-token") ?? "";
  await post("tickets.v1.TicketCommandService/OpenTicket", { ticketId: "t-1", subject: "x", reporter: "ada" });
  const ticket = await post("tickets.v1.TicketQueryService/GetTicket", { ticketId: "t-1" }, { "headwater-token": token });
  expect(await ticket.json()).toMatchObject({ ticket: { ticketId: "t-1" } });
  expect(ticket.headers.get("trailer-headwater-token")?.split(/, */)).toContain(token);
});

/** Where a token stands, by partition. Clients do not look into tokens; a test may. */
function sequencesIn(token: string): ReadonlyMap<number, bigint> {
  const [position] = fromBinary(ConsistencyTokenSchema, base64Decode(token)).positions;
  return new Map(position?.sequences.map((sequence, index) => [position.partitions[index] ?? index, sequence] as const));
}

/** What a refusal says, with the fields that it names. */
function detailsIn(error: ServiceError) {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const { details } = fromBinary(StatusSchema, bytes as Buffer);
  const violations = details.flatMap((detail) => anyUnpack(detail, BadRequestSchema)?.fieldViolations ?? []);
  const { code, message, reason } = new CallError(error);
  return { code, message, reason, violations };
}

function tokensIn(trailers: Metadata): readonly string[] {
  return trailers.get("headwater-token").flatMap((value) => String(value).split(/, */));
}

/** grpc-js as it comes, with the service config of the example. */
function connect(address: string, interceptor?: Interceptor) {
  const interceptors = interceptor === undefined ? [] : [interceptor];
  const client = new Client(address, credentials.createInsecure(), { "grpc.service_config": serviceConfig, interceptors });
  const bytes = (value: Buffer): Buffer => value;

  function send<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodUnary<Input, Output>,
    request: MessageInitShape<Input>,
    metadata: Metadata,
  ) {
    const message = Buffer.from(toBinary(method.input, create(method.input, request)));
    const path = `/${method.parent.typeName}/${method.name}`;
    const { promise, resolve, reject } = Promise.withResolvers<{ readonly answer: Buffer; readonly trailers: Metadata }>();
    let answer: Buffer | undefined;
    const call = client.makeUnaryRequest(path, bytes, bytes, message, metadata, { deadline: Date.now() + 30_000 }, (error, value) => {
      if (error !== null) reject(error);
      answer = value;
    });
    call.on("status", ({ metadata: trailers }) => answer !== undefined && resolve({ answer, trailers }));
    return promise;
  }

  return {
    [Symbol.dispose]: () => client.close(),
    async call<Input extends DescMessage, Output extends DescMessage>(
      method: DescMethodUnary<Input, Output>,
      request: MessageInitShape<Input>,
      metadata = new Metadata(),
    ) {
      return fromBinary(method.output, (await send(method, request, metadata)).answer);
    },
    async failure<Input extends DescMessage>(
      method: DescMethodUnary<Input, DescMessage>,
      request: MessageInitShape<Input>,
      metadata = new Metadata(),
    ) {
      const error = await send(method, request, metadata).then(
        () => new Error("it was answered"),
        (reason: unknown) => reason,
      );
      return detailsIn(error as ServiceError);
    },
    async tokens<Input extends DescMessage>(
      method: DescMethodUnary<Input, DescMessage>,
      request: MessageInitShape<Input>,
      tokens: readonly string[],
    ): Promise<readonly string[]> {
      const metadata = new Metadata();
      for (const token of tokens) metadata.add("headwater-token", token);
      const { trailers } = await send(method, request, metadata);
      return tokensIn(trailers);
    },
    /** Creates orders with these ids on one stream. */
    execute(orderIds: readonly string[]) {
      const { promise, resolve, reject } = Promise.withResolvers<{
        readonly receipts: readonly Receipt[];
        readonly trailers: readonly string[];
      }>();
      const call = client.makeBidiStreamRequest("/headwater.orders.v1.OrderCommandService/Execute", bytes, bytes, new Metadata());
      const receipts: Receipt[] = [];
      call.on("data", (data: Buffer) => {
        const { result } = fromBinary(ExecuteResponseSchema, data);
        if (result.case === "receipt") receipts.push(result.value);
      });
      call.on("error", reject);
      call.on("status", ({ metadata }: { readonly metadata: Metadata }) => resolve({ receipts, trailers: tokensIn(metadata) }));
      for (const orderId of orderIds) {
        const value = { orderId, currencyCode: "EUR", options: { commandId: randomUUID() } };
        const request = create(ExecuteRequestSchema, { command: { command: { case: "createOrder", value } } });
        call.write(Buffer.from(toBinary(ExecuteRequestSchema, request)));
      }
      call.end();
      return promise;
    },
    executeFailure(metadata: Metadata) {
      const { promise, resolve, reject } = Promise.withResolvers<ReturnType<typeof detailsIn>>();
      const call = client.makeBidiStreamRequest("/headwater.orders.v1.OrderCommandService/Execute", bytes, bytes, metadata);
      call.on("error", (error: ServiceError) => resolve(detailsIn(error)));
      call.on("end", () => reject(new Error("it was taken")));
      call.resume();
      call.end();
      return promise;
    },
  };
}
