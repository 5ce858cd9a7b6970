/** Queries: what a domain is asked, answered from the documents of its views. */

import type { DescMethodUnary, DescService, MessageShape } from "@bufbuild/protobuf";
import type { DocumentReader } from "../documents.ts";
import type { Projection } from "../projection.ts";

/** A query: what it answers from the documents of its view. */
export interface Query<Request, Answer extends object> {
  (documents: DocumentReader, request: Request): Promise<Answer | NotFound>;
  /** The view whose freshness counts. */
  readonly view: Projection;
}

/** One query per RPC of a service that has one answer: the response, but for the token, which the server adds. */
export type QueriesOf<Service extends DescService> = {
  readonly [Name in keyof Service["method"] as Service["method"][Name] extends DescMethodUnary
    ? Name
    : never]: Service["method"][Name] extends DescMethodUnary<infer Input, infer Output>
    ? Query<MessageShape<Input>, Omit<MessageShape<Output>, "$typeName" | "$unknown" | "consistencyToken">>
    : never;
};

/** A field of the request that the query cannot be answered with, though it keeps the rules of the contract. */
export class QueryArgumentError extends Error {
  override readonly name = "QueryArgumentError";
  /** The path of the field, as the contract names it. */
  readonly field: string;
  /** UPPER_SNAKE_CASE; callers decide by it. */
  readonly reason: string;

  constructor(field: string, reason: string, message: string) {
    super(message);
    this.field = field;
    this.reason = reason;
  }
}

/** There is nothing to answer with. The message is shown to the caller. */
export interface NotFound {
  readonly notFound: {
    readonly reason: string;
    readonly message: string;
    readonly metadata: Readonly<Record<string, string>>;
  };
}

/** Says that there is nothing to answer with. */
export function notFound(reason: string, message: string, metadata: Readonly<Record<string, string>> = {}): NotFound {
  return { notFound: { reason, message, metadata } };
}

/** Whether a query has nothing to answer with. */
export function isNotFound(answer: object): answer is NotFound {
  return "notFound" in answer;
}
