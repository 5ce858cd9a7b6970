/** Types and helpers for the oneof that makes a message a union: the commands and the events of a domain. */

import type { DescMessage, DescOneof, MessageInitShape, MessageShape } from "@bufbuild/protobuf";

/** A oneof as protobuf-es types it. */
export type Oneof = { readonly case: string; readonly value: unknown } | { readonly case: undefined; readonly value?: undefined };

/** The members that are set. */
export type Member<O extends Oneof> = Extract<O, { case: string }>;

/** The member with a given name. */
export type MemberOf<O extends Oneof, Case extends string> = Extract<O, { case: Case; value: unknown }>;

/** The union in a message: the type of its (only) oneof. */
export type UnionOf<Desc extends DescMessage> = Extract<MessageShape<Desc>[keyof MessageShape<Desc>], Oneof>;

/** The same, as it is written in an initialiser. */
export type UnionInitOf<Desc extends DescMessage> = Extract<MessageInitShape<Desc>[keyof MessageInitShape<Desc>], Oneof>;

/** The only oneof of a message. */
export function unionOf(schema: DescMessage): DescOneof {
  const oneof = schema.oneofs[0];
  if (oneof === undefined || schema.oneofs.length !== 1) throw new TypeError(`${schema.typeName} must have exactly one oneof`);
  return oneof;
}
