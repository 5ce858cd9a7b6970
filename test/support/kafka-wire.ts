/** As much of Kafka's protocol as one must know to tell requests apart: a length, then the api key, version, correlation and client id. */

export const apiKeys = {
  Produce: 0,
  Fetch: 1,
  ListOffsets: 2,
  Metadata: 3,
  OffsetFetch: 9,
  FindCoordinator: 10,
  JoinGroup: 11,
  Heartbeat: 12,
  LeaveGroup: 13,
  SyncGroup: 14,
  InitProducerId: 22,
  AddPartitionsToTxn: 24,
  AddOffsetsToTxn: 25,
  EndTxn: 26,
  TxnOffsetCommit: 28,
} as const;

export type Api = keyof typeof apiKeys;

const names = new Map<number, Api>(Object.entries(apiKeys).map(([name, key]) => [key, name as Api]));

export interface RequestHeader {
  /** undefined: one that nobody here cares about. */
  readonly api: Api | undefined;
  readonly correlationId: number;
  readonly clientId: string;
  /** Of a Produce request: whether it belongs to a transaction. */
  readonly isTransactional: boolean;
}

/** The header of a whole frame, its length included. */
export function requestHeader(frame: Buffer): RequestHeader {
  const api = names.get(frame.readInt16BE(4));
  const clientIdLength = Math.max(0, frame.readInt16BE(12));
  const bodyAt = 14 + clientIdLength;
  return {
    api,
    correlationId: frame.readInt32BE(8),
    clientId: frame.toString("utf8", 14, bodyAt),
    isTransactional: api === "Produce" && frame.length > bodyAt + 2 && frame.readInt16BE(bodyAt) > 0,
  };
}

export function correlationIdOf(response: Buffer): number {
  return response.readInt32BE(4);
}

/** Cuts a stream of bytes into frames, as they become whole. */
export function createFrames(): (bytes: Buffer) => readonly Buffer[] {
  let rest: Buffer = Buffer.alloc(0);
  return (bytes) => {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    const frames: Buffer[] = [];
    while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
      const length = 4 + rest.readInt32BE(0);
      frames.push(rest.subarray(0, length));
      rest = rest.subarray(length);
    }
    return frames;
  };
}
