/** Read masks: which fields of a message a caller wants to be answered with. */

import type { DescField, DescMessage, MessageShape } from "@bufbuild/protobuf";
import { isReflectMessage, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import type { FieldMask } from "@bufbuild/protobuf/wkt";

/** Paths that lead nowhere. */
export class ReadMaskError extends Error {
  override readonly name = "ReadMaskError";
  /** Why not, by the path's place in the mask. */
  readonly faults: ReadonlyMap<number, string>;

  constructor(faults: ReadonlyMap<number, string>) {
    super([...faults.values()].join("; "));
    this.faults = faults;
  }
}

/** Makes a message of the fields that the mask names; of all of its fields if the mask is absent, empty or has the path "*". */
export type ApplyMask<Desc extends DescMessage> = (message: MessageShape<Desc>) => MessageShape<Desc>;

/** @throws {ReadMaskError} a path does not lead to a field of the message, or leads through a repeated one; or there are too many paths */
export function readMask<Desc extends DescMessage>(schema: Desc, mask: FieldMask | undefined): ApplyMask<Desc> {
  const paths = mask?.paths ?? [];
  const wanted: Wanted = new Map();
  const faults = new Map<number, string>();
  if (paths.length > MAX_PATHS) throw new ReadMaskError(new Map([[MAX_PATHS, `there may be at most ${MAX_PATHS} paths`]]));
  paths.forEach((path, index) => {
    const fault = path === ALL ? undefined : want(wanted, schema, path);
    if (fault !== undefined) faults.set(index, fault);
  });
  if (faults.size > 0) throw new ReadMaskError(faults);
  if (paths.length === 0 || paths.includes(ALL)) return (message) => message;
  // What is picked of a message is a message of the same type.
  return (message) => pick(schema, reflect(schema, message), wanted).message as MessageShape<Desc>;
}

const ALL = "*";

/** More than any message here has fields: each path is looked up. */
const MAX_PATHS = 100;

/** Longer than any path that leads somewhere. */
const MAX_QUOTED_LENGTH = 80;

/** The wanted fields of a message, and of those that are messages which of theirs: "all", or some. */
type Wanted = Map<DescField, Wanted | "all">;

/** Adds a path to what is wanted, or says why it cannot. */
function want(wanted: Wanted, schema: DescMessage, path: string): string | undefined {
  let fields: Wanted | "all" = wanted;
  let message: DescMessage | undefined = schema;
  const names = path.split(".");
  for (const [depth, name] of names.entries()) {
    const field: DescField | undefined = message?.fields.find((candidate) => candidate.name === name);
    if (field === undefined) return `${quoted(path)} is no path in ${schema.typeName}`;
    const isLast = depth === names.length - 1;
    if (!isLast && field.fieldKind !== "message") return `${quoted(path)} leads through ${name}, which is not one message`;
    message = field.message;
    if (fields !== "all") fields = widen(fields, field, isLast);
  }
  return undefined;
}

/** A caller's text goes back to him in the head of an answer, which is small. */
function quoted(path: string): string {
  return JSON.stringify(path.length > MAX_QUOTED_LENGTH ? `${path.slice(0, MAX_QUOTED_LENGTH)}…` : path);
}

function widen(fields: Wanted, field: DescField, isLast: boolean): Wanted | "all" {
  const known = fields.get(field);
  const widened = isLast || known === "all" ? "all" : (known ?? new Map());
  fields.set(field, widened);
  return widened;
}

function pick(schema: DescMessage, message: ReflectMessage, wanted: Wanted): ReflectMessage {
  const picked = reflect(schema);
  for (const [field, inner] of wanted) {
    if (!message.isSet(field)) continue;
    const value = message.get(field);
    picked.set(field, inner === "all" || !isReflectMessage(value) ? value : pick(value.desc, value, inner));
  }
  return picked;
}
