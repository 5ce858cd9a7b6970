/** Several systems on the same Kafka and MongoDB, told apart by their namespaces. */

import { expect, it } from "vitest";
import { CommandStage } from "../../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { OrderCommandService } from "../../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "../../../internal/gen/headwater/orders/v1/order_query_service_pb.ts";
import { CallError, createGrpcClient } from "../../support/grpc-client.ts";
import { startKafka } from "../../support/kafka-server.ts";
import { startMongo } from "../../support/mongo-server.ts";
import { startSystem } from "../../support/processes.ts";
import { kafka, mongo } from "../../support/servers.ts";

const { createOrder, getCommandOutcome } = OrderCommandService.method;
const { getOrder, getOrderCounts } = OrderQueryService.method;
const wait = { waitFor: CommandStage.PROJECTED };

it.skipIf(kafka === undefined || mongo === undefined)("systems with different namespaces do not see each other", async () => {
  await using stack = new AsyncDisposableStack();
  const { brokers } = stack.use(await startKafka());
  const { uri: mongoUri } = stack.use(await startMongo());
  const startIn = async (namespace: string) => {
    const system = stack.use(await startSystem({ brokers, mongoUri }, { environment: { HEADWATER_NAMESPACE: namespace } }));
    const commands = stack.use(createGrpcClient(system.commandAddress));
    return { commands, queries: stack.use(createGrpcClient(system.queryAddress)) };
  };
  const plain = await startIn("");
  const staging = await startIn("staging");

  const commandId = "0d8f2f1e-4a43-4d0c-9d0e-6a6f6a1f7b11";
  const order = { orderId: "same", currencyCode: "EUR", options: { ...wait, commandId } };
  const first = await plain.commands.call(createOrder, order);
  expect(await failureOf(staging.queries.call(getOrder, { orderId: "same" }))).toMatchObject({ reason: "ORDER_NOT_FOUND" });
  const inquiry = { orderId: "same", commandId };
  expect(await failureOf(staging.commands.call(getCommandOutcome, inquiry))).toMatchObject({ reason: "COMMAND_NOT_FOUND" });
  const consistencyToken = first.receipt?.consistencyToken ?? "";
  expect(await failureOf(staging.queries.call(getOrder, { orderId: "same", consistencyToken }))).toMatchObject({ code: 3 });

  const second = await staging.commands.call(createOrder, { ...order, customerId: "ada" });
  expect(second.receipt).toMatchObject({ version: 1, stage: CommandStage.PROJECTED });
  for (const { queries, customerId } of [
    { ...plain, customerId: "" },
    { ...staging, customerId: "ada" },
  ]) {
    expect((await queries.call(getOrder, { orderId: "same" })).order).toMatchObject({ version: 1, customerId });
    expect((await queries.call(getOrderCounts, {})).counts).toMatchObject({ statuses: [{ orderCount: 1n }] });
  }
});

async function failureOf(call: Promise<unknown>): Promise<unknown> {
  const error = await call.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(CallError);
  return error;
}
