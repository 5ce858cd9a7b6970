/**
 * What one server, one connection and one call may take, at every door: the gRPC ports and the
 * gateway. Every wait and every buffer that a client can cause ends at one of these.
 */
export interface GrpcLimits {
  readonly maxMessageBytes: number;
  readonly maxHeaders: number;
  readonly maxStreamsPerConnection: number;
  readonly maxConnections: number;
  readonly maxCallsInProgress: number;
  readonly maxOpenStreams: number;
  readonly maxRequestBytes: number;
  readonly maxUnreadBytes: number;
  readonly maxResetsAtOnce: number;
  readonly maxResetsPerSecond: number;
  readonly receiveTimeoutMs: number;
  readonly sendTimeoutMs: number;
  readonly unaryTimeoutMs: number;
  readonly maxConnectionIdleMs: number;
  readonly maxConnectionAgeMs: number;
  readonly maxConnectionAgeGraceMs: number;
  readonly keepaliveTimeMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly drainTimeoutMs: number;
}

export const defaultLimits: GrpcLimits = {
  // The largest order that the rules allow has 1.3 MiB, and its record is well below the 2 MiB that
  // the log takes.
  maxMessageBytes: 1.5 * 1024 * 1024,
  // Several times what clients and proxies send. A gateway adds its own and stays below the 128 of
  // a Node client.
  maxHeaders: 100,
  // One client, or one gateway's connection, may have so much under way; a gateway makes more
  // connections.
  maxStreamsPerConnection: 1_000,
  // A connection costs tens of kilobytes; with a file descriptor each, it stays below the usual 4096.
  maxConnections: 2_000,
  // A call that waits holds some ten kilobytes: 50 MB in all. Waiting longer helps nobody.
  maxCallsInProgress: 5_000,
  // Streams stay open for hours; below the calls in all, so that watchers cannot crowd out those
  // who just ask.
  maxOpenStreams: 4_000,
  // Requests are held from their first byte until they are answered. Without a bound, all calls in
  // progress could hold gigabytes.
  maxRequestBytes: 64 * 1024 * 1024,
  // Answers have up to 4 MiB each, so a few clients that do not read could hold gigabytes. It is a
  // score of the largest, or some hundred pages of usual orders, on their way at the same time.
  maxUnreadBytes: 64 * 1024 * 1024,
  // All calls of a connection may be cancelled at once, ten times over. Node's default, 1,000, ends
  // the connection of a gateway when the pages of a thousand users are closed.
  maxResetsAtOnce: 10_000,
  maxResetsPerSecond: 1_000,
  // A message of 1 MiB in 10 s needs 0.8 Mbit/s; slower is broken or hostile.
  receiveTimeoutMs: 10_000,
  // The same for answers that the client does not read.
  sendTimeoutMs: 10_000,
  // Nobody waits at a screen for longer.
  unaryTimeoutMs: 30_000,
  // Load balancers keep idle connections for one to ten minutes. They must be those who close them:
  // a request that crosses with the server's end of its connection is lost.
  maxConnectionIdleMs: 11 * 60_000,
  // A server that was added gets its share of the connections within so long, or a little more.
  maxConnectionAgeMs: 10 * 60_000,
  // Longer than any call but a stream may take, and streams are ended when it begins.
  maxConnectionAgeGraceMs: 40_000,
  // A peer that vanished without a word is noticed within 40 s, and its streams end. Proxies that
  // cut what is idle for a minute see it alive.
  keepaliveTimeMs: 30_000,
  keepaliveTimeoutMs: 10_000,
  // Orchestrators kill after 30 s; whatever closes after the server needs some of it.
  drainTimeoutMs: 10_000,
};
