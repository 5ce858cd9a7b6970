/** The rules bound an order so that the log takes it, and clients take the answer with it. */

import { create, toBinary } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { MAX_RECORD_BYTES } from "../cqrs/log.ts";
import { CreateOrderRequestSchema } from "../gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderEventSchema } from "../gen/headwater/orders/v1/order_event_pb.ts";
import type { Order } from "../gen/headwater/orders/v1/order_pb.ts";
import { GetOrderResponseSchema } from "../gen/headwater/orders/v1/order_query_service_pb.ts";
import { OrderStateSchema } from "../gen/headwater/orders/v1/order_state_pb.ts";
import { orders } from "./projection/order.ts";
import { largestCreation, largestHistory } from "./testing/largest-order.ts";

/** Beside the state or the event, a record has headers, remembered outcomes, and what identifies it. */
const REST_OF_RECORD_BYTES = 100 * 1024;

/** What the services and the gateway take in one request. */
const SERVICES_TAKE_BYTES = 1.5 * 1024 * 1024;

const CLIENTS_TAKE_BYTES = 4 * 1024 * 1024;

it("the largest order that the rules allow is accepted, recorded, remembered and answered", () => {
  const { events, state } = largestHistory();
  const order = events.reduce<Order | undefined>((before, event) => orders.fold(before, "", event), undefined);
  const answer = create(GetOrderResponseSchema, { ...(order && { order }), consistencyToken: "t".repeat(16 * 1024) });
  const bytes = {
    creation: toBinary(CreateOrderRequestSchema, largestCreation()).length,
    event: Math.max(...events.map((event) => toBinary(OrderEventSchema, event).length)),
    state: toBinary(OrderStateSchema, state).length,
    answer: toBinary(GetOrderResponseSchema, answer).length,
  };
  expect(bytes.creation).toBeLessThan(SERVICES_TAKE_BYTES);
  expect(bytes.event).toBeLessThan(MAX_RECORD_BYTES - REST_OF_RECORD_BYTES);
  expect(bytes.state).toBeLessThan(MAX_RECORD_BYTES - REST_OF_RECORD_BYTES);
  expect(bytes.answer).toBeLessThan(CLIENTS_TAKE_BYTES);
});
