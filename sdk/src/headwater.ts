import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { type Bulk, type BulkOptions, BulkStream } from "./bulk.ts";
import { OrderCommandService } from "./gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderQueryService } from "./gen/headwater/orders/v1/order_query_service_pb.ts";
import { createSession, type Session, type SessionOptions } from "./session.ts";

/** How to reach the two services. */
export interface Transports {
  readonly commands: Transport;
  readonly queries: Transport;
}

/** A client of Headwater. */
export interface Headwater {
  /** The write side as it is in the contract: one attempt per call, plain ConnectErrors. */
  readonly commands: Client<typeof OrderCommandService>;
  /** The read side as it is in the contract. */
  readonly queries: Client<typeof OrderQueryService>;
  /** Begins a session, or goes on with one. One session per user or unit of work is right. */
  session(options?: SessionOptions): Session;
  /** Opens a stream for many commands, at the first of them. Close it when the work is done. It needs HTTP/2: a browser has none for this. */
  bulk(options?: BulkOptions): Bulk;
}

/** Makes a client of any two transports. `connectGrpc` and `connectWeb` make the usual ones. */
export function createHeadwater(transports: Transports): Headwater {
  return {
    commands: createClient(OrderCommandService, transports.commands),
    queries: createClient(OrderQueryService, transports.queries),
    session: (options = {}) => createSession(transports, options),
    bulk: (options = {}) => new BulkStream(transports.commands, options),
  };
}
