import { projection, type View } from "../../cqrs/projection.ts";
import { partitionField, partitionOfEvent, sequenceField } from "../../cqrs/query/event-tail.ts";
import { asWritten } from "../../cqrs/upcasting.ts";
import { OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import { orderEvents } from "../order-events.ts";

/** The digits of the largest version: ids of one order sort like its versions. */
const versionDigits = 10;

const events = projection({
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
  always: (_document, { event }) => asWritten(event),
  derived: (_document, applied) => partitionOfEvent(applied),
});

/** One document per event as it was written, for those who ask who did what and when. They are told what it means today. */
export const orderHistory: View<typeof OrderEventSchema> = { ...events, decode: (fields) => orderEvents.upcast(events.decode(fields)) };
