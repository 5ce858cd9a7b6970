/** Queries that stay open: what a domain answers as its documents change. */

import type { DescMethodServerStreaming, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Positions } from "../positions.ts";
import type { Projection } from "../projection.ts";
import type { Freshness } from "./freshness.ts";

/** What such queries are answered from. It lives as long as the server. */
export interface StreamSource {
  readonly freshness: Freshness;
}

/** One call of such a query. */
export interface StreamCall {
  /** Aborts when the answers are to end. */
  readonly signal: AbortSignal;
  /**
   * Waits, for a while, until a view shows what the caller has seen: by a consistency token of the
   * request, and by those that came beside it.
   *
   * @throws {Error} it is no token of this service, as the caller is then told
   * @throws {NotYetVisibleError}
   */
  untilVisible(view: Projection, token: string): Promise<Positions>;
  /**
   * The same for positions that were told otherwise.
   *
   * @throws {NotYetVisibleError}
   */
  untilShown(view: Projection, positions: Positions): Promise<void>;
}

/** A query that stays open. */
export type StreamQuery<Request, Response> = (request: Request, call: StreamCall) => AsyncIterable<Response>;

/** Makes the queries that stay open, which share what they read. */
export type StreamQueries<Queries extends object = object> = (source: StreamSource) => Queries;

/** One query per RPC of a service that only the server streams. */
export type StreamsOf<Service extends DescService> = {
  readonly [Name in keyof Service["method"] as Service["method"][Name] extends DescMethodServerStreaming
    ? Name
    : never]: Service["method"][Name] extends DescMethodServerStreaming<infer Input, infer Output>
    ? StreamQuery<MessageShape<Input>, MessageInitShape<Output>>
    : never;
};
