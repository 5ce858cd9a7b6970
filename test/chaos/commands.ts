/** Commands of random orders: mostly what comes next in an order's life, sometimes anything. */

import { hash, randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import type { CommandStage } from "../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { OrderCommandSchema } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { type AnyOrderCommand, submissionOf } from "../../internal/orders/command/submission.ts";
import {
  addLine,
  type Command,
  cancelOrder,
  changeLineQuantity,
  createOrder,
  deliverOrder,
  eur,
  line,
  placeOrder,
  recordPayment,
  refundOrder,
  removeLine,
  returnItems,
  setShippingAddress,
  shipOrder,
  usd,
} from "../../internal/orders/domain/testing/commands.ts";
import type { Random } from "./random.ts";

/** An order as the clients who share it know it. */
export interface Slot {
  readonly orderId: string;
  /** How many command ids it has had. */
  commands: number;
  /** How far it has come in `life`. */
  step: number;
  /** The version that was last seen. */
  version: number;
}

/** A command, ready to be sent as often as wanted. */
export interface Sent {
  readonly orderId: string;
  readonly commandId: string;
  readonly command: AnyOrderCommand;
  readonly fingerprint: Uint8Array;
  readonly expectedVersion?: number;
}

export interface SendOptions {
  readonly commandId: string;
  readonly expectedVersion?: number;
  readonly waitFor?: CommandStage;
}

/** Few, so that the summaries of customers are changed from several partitions at once. */
const customers = ["ada", "bob", "cyd", "dan", ""];

const life: readonly ((random: Random) => Command)[] = [
  (random) =>
    random.chance(0.85)
      ? createOrder({ customerId: random.pick(customers) })
      : createOrder({ customerId: random.pick(customers), currencyCode: "USD", lines: [line({ unitPrice: usd(250n) })] }),
  (random) => changeLineQuantity("1", random.integer(1, 9)),
  (random) => addLine(line({ sku: random.pick(["spoon", "tray", "kettle"]), quantity: random.integer(1, 3) })),
  placeOrder,
  (random) => recordPayment({ paymentId: random.uuid(), amount: eur(BigInt(random.integer(1, 5) * 300)) }),
  (random) => recordPayment({ paymentId: random.uuid(), amount: eur(BigInt(random.integer(1, 5) * 300)) }),
  (random) => recordPayment({ paymentId: random.uuid(), amount: eur(BigInt(random.integer(1, 10) * 500)) }),
  (random) => shipOrder({ shipmentId: random.uuid(), lines: [{ lineId: "1", quantity: 1 }] }),
  (random) => shipOrder({ shipmentId: random.uuid(), lines: [] }),
  () => deliverOrder(""),
  (random) => returnItems({ returnId: random.uuid(), lines: [{ lineId: "1", quantity: 1 }] }),
  (random) => refundOrder({ refundId: random.uuid(), amount: eur(BigInt(random.integer(1, 20) * 100)) }),
];

const anything: readonly ((random: Random) => Command)[] = [
  ...life,
  () => removeLine("2"),
  () => setShippingAddress(),
  () => cancelOrder(),
  (random) => recordPayment({ paymentId: "same", amount: eur(BigInt(random.integer(1, 3) * 100)) }),
];

export function newSlot(random: Random): Slot {
  return { orderId: random.uuid(), commands: 0, step: 0, version: 0 };
}

export function nextCommand(slot: Slot, random: Random): Command {
  const usual = life[Math.min(slot.step, life.length - 1)];
  return (usual !== undefined && random.chance(0.8) ? usual : random.pick(anything))(random);
}

export function sentOf(orderId: string, command: Command, options: SendOptions): Sent {
  const message = create(OrderCommandSchema, { command: { ...command, value: { ...command.value, orderId, options } } as Command });
  const typed = message.command as AnyOrderCommand;
  const sha256 = (bytes: Uint8Array): Uint8Array => hash("sha256", bytes, "buffer");
  const { fingerprint, expectedVersion } = submissionOf(typed, { newId: randomUUID, hash: sha256, actor: "" });
  return {
    orderId,
    commandId: options.commandId,
    command: typed,
    fingerprint,
    ...(expectedVersion === undefined ? {} : { expectedVersion }),
  };
}
