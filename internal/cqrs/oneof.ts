/** Types and helpers for the oneof that makes a message a union: the commands and the events of a domain. */

import type { DescMessage, DescOneof, MessageInitShape, MessageShape } from "@bufbuild/protobuf";

/** A oneof as protobuf-es types it. */
export interface Oneof {
  readonly case: string | undefined;
  readonly value?: unknown;
}

/** The members that are set. */
export type Member<O extends Oneof> = Exclude<O, { case: undefined }>;

/** The member with a given name. */
export type MemberOf<O extends Oneof, Case extends string> = Extract<O, { case: Case }>;

/** The union in a message: the type of its (only) oneof. */
export type UnionOf<Desc extends DescMessage> = Extract<MessageShape<Desc>[keyof MessageShape<Desc>], { case: string | undefined }>;

/** The same, as it is written in an initialiser. */
export type UnionInitOf<Desc extends DescMessage> = Extract<
  MessageInitShape<Desc>[keyof MessageInitShape<Desc>],
  { case: string | undefined }
>;

/** The only oneof of a message. */
export function unionOf(schema: DescMessage): DescOneof {
  const oneof = schema.oneofs[0];
  if (oneof === undefined || schema.oneofs.length !== 1) throw new TypeError(`${schema.typeName} must have exactly one oneof`);
  return oneof;
}
