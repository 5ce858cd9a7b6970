import { partitionField, partitionOfEvent, sequenceField } from "../../cqrs/event-tail.ts";
import { projection } from "../../cqrs/projection.ts";
import { OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";

/** The digits of the largest version: ids of one order sort like its versions. */
const versionDigits = 10;

/** One document per event, for those who ask who did what and when. */
export const orderHistory = projection({
  name: "order-history",
  version: 2,
  event: OrderEventSchema,
  document: OrderEventSchema,
  writeOnce: true,
  indexes: [
    { name: "order", fields: ["metadata.aggregateId", "metadata.version"] },
    { name: "position", fields: [partitionField, sequenceField] },
    { name: "customer", fields: ["customerId", partitionField, sequenceField] },
  ],
  key: ({ metadata }) => metadata && `${metadata.aggregateId}/${String(metadata.version).padStart(versionDigits, "0")}`,
  on: {},
  always: (_document, { event }) => event,
  derived: (_document, applied) => partitionOfEvent(applied),
});
