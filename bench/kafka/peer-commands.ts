/** The commands of orders as the bare topologies take them: the same facts in JSON, in about as many bytes. */

import type { Log, NewRecord } from "../../internal/cqrs/log.ts";
import { partitionOf } from "../../internal/cqrs/partition.ts";
import type { Line } from "../../internal/gen/headwater/orders/v1/order_pb.ts";
import type { AnyOrderCommand } from "../../test/support/order-domain.ts";
import { peerTopics } from "./topologies.ts";

export function peerCommandRecord(command: AnyOrderCommand, { partitions }: Pick<Log, "partitions">): NewRecord {
  const { case: type, value } = command;
  const facts = type === "createOrder" ? { customerId: value.customerId, currencyCode: value.currencyCode } : {};
  const json = JSON.stringify({ id: value.options?.commandId, type, ...facts, lines: linesOf(command).map(lineOf) });
  const key = value.orderId;
  return { topic: peerTopics.commands.name, partition: partitionOf(key, partitions), key, value: Buffer.from(json) };
}

function linesOf(command: AnyOrderCommand): readonly Line[] {
  if (command.case === "createOrder") return command.value.lines;
  return command.case === "addLine" && command.value.line !== undefined ? [command.value.line] : [];
}

function lineOf({ sku, description, quantity, unitPrice }: Line) {
  return { sku, description, quantity, minorUnits: Number(unitPrice?.minorUnits ?? 0n) };
}
