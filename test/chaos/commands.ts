/** Commands of random orders: nearly always what comes next in an order's life, so that most are accepted, and sometimes anything. */

import { hash, randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { CommandStage } from "../../internal/gen/headwater/cqrs/v1/command_pb.ts";
import { OrderCommandSchema } from "../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import {
  addLine,
  address,
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
import { submissionOf } from "../../internal/serving/submission.ts";
import { type AnyOrderCommand, orderDomain } from "../support/order-domain.ts";
import type { Random } from "./random.ts";

/** An order as the clients who share it know it. */
export interface Slot {
  readonly orderId: string;
  readonly life: Life;
  /** How many command ids it has had. */
  commands: number;
  /** How far it has come in its life. */
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
  readonly waitFor: CommandStage;
}

export interface SendOptions {
  readonly commandId: string;
  readonly expectedVersion?: number;
  readonly waitFor?: CommandStage;
}

type Step = (random: Random) => Command;

type Life = readonly Step[];

/** Few, so that the summaries of customers are changed from several partitions at once. */
export const customers = ["ada", "bob", "cyd", "dan"] as const;

/** The customers of orders that nearly fill a request. */
export const largeCustomers = ["huge-1", "huge-2"] as const;

/** How often a command is none of those that come next. */
const ANYTHING = 0.06;

const setAddress: Step = (random) => setShippingAddress({ ...address, recipient: random.uuid() });

/** From a draft to a refund. Its total stays at 25.00, so that all of it can be paid. */
function soldOrder(customerId: string, random: Random): Life {
  const payment: Step = (each) => recordPayment({ paymentId: each.uuid(), amount: eur(500n) });
  return [
    () => createOrder({ customerId }),
    ...steps(random.integer(2, 6), setAddress),
    placeOrder,
    ...steps(5, payment),
    (each) => shipOrder({ shipmentId: each.uuid(), lines: [{ lineId: "1", quantity: 1 }] }),
    (each) => shipOrder({ shipmentId: each.uuid(), lines: [] }),
    () => deliverOrder(""),
    (each) => returnItems({ returnId: each.uuid(), lines: [{ lineId: "1", quantity: 1 }] }),
    ...steps(20, (each) => refundOrder({ refundId: each.uuid(), amount: eur(1n) })),
  ];
}

/** A draft that grows for long, and is then paid in cents. */
function grownOrder(customerId: string, random: Random): Life {
  const money = random.chance(0.8) ? eur : usd;
  const growth: readonly Step[] = [
    (each) => changeLineQuantity("1", each.integer(1, 90)),
    (each) => addLine(line({ sku: each.pick(["spoon", "tray", "kettle"]), quantity: each.integer(1, 3), unitPrice: money(100n) })),
    setAddress,
  ];
  return [
    () => createOrder({ customerId, currencyCode: money(0n).currencyCode, lines: [line({ lineId: "1", unitPrice: money(250n) })] }),
    ...Array.from({ length: random.integer(10, 26) }, () => random.pick(growth)),
    placeOrder,
    ...steps(8, (each) => recordPayment({ paymentId: each.uuid(), amount: money(1n) })),
    ...steps(6, setAddress),
  ];
}

const anything: readonly Step[] = [
  () => removeLine("2"),
  () => cancelOrder(),
  (random) => createOrder({ customerId: random.pick(customers) }),
  () => deliverOrder(""),
  (random) => recordPayment({ paymentId: "same", amount: eur(BigInt(random.integer(1, 3) * 100)) }),
  (random) => refundOrder({ refundId: random.uuid(), amount: eur(BigInt(random.integer(1, 20) * 100)) }),
];

export function newSlot(random: Random, customerId: string = random.pick(customers)): Slot {
  const life = random.chance(0.5) ? soldOrder(customerId, random) : grownOrder(customerId, random);
  return { orderId: random.uuid(), life, commands: 0, step: 0, version: 0 };
}

export function isLivedOut({ life, step }: Slot): boolean {
  return step >= life.length;
}

/** The next command of an order. The order goes on by it, unless somebody says later that it failed. */
export function nextCommand(slot: Slot, random: Random): Command {
  const usual = slot.life[slot.step];
  slot.commands += 1;
  if (usual === undefined || (slot.step > 0 && random.chance(ANYTHING))) return random.pick(anything)(random);
  slot.step += 1;
  return usual(random);
}

export function sentOf(orderId: string, command: Command, options: SendOptions): Sent {
  const message = create(OrderCommandSchema, { command: { ...command, value: { ...command.value, orderId, options } } as Command });
  const typed = message.command as AnyOrderCommand;
  const sha256 = (bytes: Uint8Array): Uint8Array => hash("sha256", bytes, "buffer");
  const { fingerprint, expectedVersion } = submissionOf(orderDomain, typed, { newId: randomUUID, hash: sha256, actor: "" });
  return {
    orderId,
    commandId: options.commandId,
    command: typed,
    fingerprint,
    waitFor: options.waitFor ?? CommandStage.DECIDED,
    ...(expectedVersion === undefined ? {} : { expectedVersion }),
  };
}

/** An order of so many lines, of which a thousand nearly fill a request. */
export function largeOrder(customerId: string, lines: number): Command {
  const description = "\u{1F375}".repeat(LARGE_DESCRIPTION);
  const many = Array.from({ length: lines }, (_, index) => line({ lineId: String(index + 1), description, sku: `leaf-${index}` }));
  return createOrder({ customerId, lines: many });
}

/** Characters of four bytes each, of 256 that are allowed. */
const LARGE_DESCRIPTION = 240;

function steps(count: number, step: Step): Life {
  return Array.from({ length: count }, () => step);
}
