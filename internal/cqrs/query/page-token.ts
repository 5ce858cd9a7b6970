/**
 * Page tokens: where the next page of a list starts, and of which list. Opaque to clients, but neither secret nor signed: whoever forges one
 * only chooses another start in a list that he may read anyway.
 */

import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import type { FieldMask } from "@bufbuild/protobuf/wkt";
import { PageTokenSchema } from "../../gen/headwater/cqrs/v1/token_pb.ts";
import type { SortKey } from "../documents.ts";

/** What requests of lists have in common; it does not change which list it is. */
export interface PageRequest {
  readonly pageSize: number;
  readonly pageToken: string;
  readonly consistencyToken: string;
  readonly readMask?: FieldMask | undefined;
}

/** A page token that does not fit, with a message that says what to do. */
export class PageTokenError extends Error {
  override readonly name = "PageTokenError";
}

/** The longest token that is looked at: what the requests' own rules allow. */
export const maxPageTokenLength = 4096;

/** Identifies the list that a request asks for: its kind, its filter and its sort, hashed. */
export function listHash<Desc extends DescMessage>(schema: Desc, request: MessageShape<Desc> & PageRequest): Uint8Array {
  return requestHash(schema, { ...request, pageSize: 0, pageToken: "", consistencyToken: "", readMask: undefined });
}

/** Identifies what a request asks for, as its fields say it. */
export function requestHash<Desc extends DescMessage>(schema: Desc, request: MessageShape<Desc>): Uint8Array {
  const kind = new TextEncoder().encode(schema.typeName);
  return fnv1a64([...kind, 0, ...toBinary(schema, request, { writeUnknownFields: false })]);
}

/** The token of the page that starts behind an entry of a list; the empty one if there is no such page. */
export function formatPageToken(list: Uint8Array, after: SortKey | undefined): string {
  if (after === undefined) return "";
  const values = after.map((value) => (value instanceof Date ? { date: value.getTime() } : value));
  return base64Encode(toBinary(PageTokenSchema, create(PageTokenSchema, { query: list, after: JSON.stringify(values) })), "url");
}

/**
 * Where the page of a token starts; undefined for an empty token, which means the beginning.
 *
 * @throws {PageTokenError} it is not a page token, or one of another list
 */
export function parsePageToken(text: string, list: Uint8Array): SortKey | undefined {
  if (text === "") return undefined;
  const token = decode(text);
  if (token.query.length !== list.length || token.query.some((byte, index) => byte !== list[index])) {
    throw new PageTokenError(
      "page_token belongs to a list with another filter or order; repeat the request it came from, or start without it",
    );
  }
  return sortKey(token.after);
}

/** The refusal of what this service never made. */
export function notAPageToken(cause?: unknown): PageTokenError {
  return new PageTokenError("page_token is not a token of this service; pass the next_page_token of the page before unchanged", { cause });
}

function decode(text: string) {
  if (text.length > maxPageTokenLength) throw notAPageToken();
  try {
    return fromBinary(PageTokenSchema, base64Decode(text));
  } catch (cause) {
    throw notAPageToken(cause);
  }
}

function sortKey(json: string): SortKey {
  const values = parseJson(json);
  if (!Array.isArray(values) || values.length === 0) throw notAPageToken();
  return values.map(sortValue);
}

function sortValue(value: unknown): SortKey[number] {
  if (typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (typeof value === "object" && value !== null && "date" in value && typeof value.date === "number") {
    const date = new Date(value.date);
    if (!Number.isNaN(date.getTime())) return date;
  }
  throw notAPageToken();
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw notAPageToken(cause);
  }
}

/** The 64-bit FNV-1a hash, big-endian. It tells lists apart; it does not have to resist an attacker. */
function fnv1a64(bytes: readonly number[]): Uint8Array {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  const result = new Uint8Array(8);
  new DataView(result.buffer).setBigUint64(0, hash);
  return result;
}
