/** The TypeScript client of Headwater's order service. Connect with `@headwater/sdk/node` or `@headwater/sdk/web`. */

export type { Bulk, BulkCommand, BulkOptions } from "./bulk.ts";
export type { CommandInit, CommandName } from "./commands.ts";
export { type FieldViolation, InvalidRequestError, type KnownRejectionReason, OrderRejectedError } from "./errors.ts";
export { CommandStage, type Receipt } from "./gen/headwater/cqrs/v1/command_pb.ts";
export { ErrorReason } from "./gen/headwater/cqrs/v1/error_reason_pb.ts";
export type { EventMetadata } from "./gen/headwater/cqrs/v1/event_pb.ts";
export { OrderCommandService, RejectionReason } from "./gen/headwater/orders/v1/order_command_service_pb.ts";
export { type OrderEvent, OrderEventSchema } from "./gen/headwater/orders/v1/order_event_pb.ts";
export {
  type Address,
  type Line,
  type LineQuantity,
  type Money,
  type Order,
  type OrderLine,
  OrderSchema,
  OrderStatus,
  type Payment,
  type Refund,
  type Return,
  type Shipment,
} from "./gen/headwater/orders/v1/order_pb.ts";
export {
  type CountrySales,
  type CustomerSummary,
  type DailySales,
  EventStart,
  type OrderCounts,
  type OrderFilter,
  OrderQueryService,
  OrderSort,
  type OrderStatusCount,
  type ProductSales,
  SalesSort,
  type SalesTotals,
} from "./gen/headwater/orders/v1/order_query_service_pb.ts";
export { createHeadwater, type Headwater, type Transports } from "./headwater.ts";
export type { CallOptions, Commands, Queries, Session, SessionOptions } from "./session.ts";
export type { DeliveredEvents, ListChange, StreamOptions, Streams } from "./streams.ts";
