/** What one server, one connection and one call may take. Every wait and every buffer that a client can cause ends at one of these. */
export interface GrpcLimits {
  readonly maxMessageBytes: number;
  readonly maxStreamsPerConnection: number;
  readonly maxConnections: number;
  readonly maxCallsInProgress: number;
  readonly maxBytesInReceipt: number;
  readonly receiveTimeoutMs: number;
  readonly sendTimeoutMs: number;
  readonly unaryTimeoutMs: number;
  readonly maxConnectionIdleMs: number;
  readonly keepaliveTimeMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly drainTimeoutMs: number;
}

export const defaultLimits: GrpcLimits = {
  // The largest order that the rules allow is well below; and it is the largest record that the log takes.
  maxMessageBytes: 1024 * 1024,
  // A gateway sends everything over one connection, so it is what one client may have under way.
  maxStreamsPerConnection: 1_000,
  // A connection costs tens of kilobytes; with a file descriptor each, it stays below the usual 4096.
  maxConnections: 2_000,
  // A call that waits holds some ten kilobytes: 50 MB in all. Waiting longer helps nobody.
  maxCallsInProgress: 5_000,
  // Messages that have not arrived completely are held in memory; without a bound, all calls in progress could hold 5 GB.
  maxBytesInReceipt: 64 * 1024 * 1024,
  // A message of 1 MiB in 10 s needs 0.8 Mbit/s; slower is broken or hostile.
  receiveTimeoutMs: 10_000,
  // The same for answers that the client does not read.
  sendTimeoutMs: 10_000,
  // Nobody waits at a screen for longer.
  unaryTimeoutMs: 30_000,
  // Long enough for a client that calls once a minute to keep its connection.
  maxConnectionIdleMs: 5 * 60_000,
  // A peer that vanished without a word is noticed within 40 s, and its streams end.
  keepaliveTimeMs: 30_000,
  keepaliveTimeoutMs: 10_000,
  // Orchestrators kill after 30 s; whatever closes after the server needs some of it.
  drainTimeoutMs: 10_000,
};
