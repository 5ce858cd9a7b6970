/** The replies of a bare topology: all are in one partition, each with the name of its command. */

import type { Log, LogRecord } from "../../internal/cqrs/log.ts";
import { partitionOf } from "../../internal/cqrs/partition.ts";
import { COMMAND_HEADER, peerTopics, REPLY_KEY } from "./topologies.ts";

export interface Replies extends AsyncDisposable {
  /** Resolves when the reply to a command comes; it is asked for before the command is sent. */
  of(command: string): Promise<void>;
}

export async function startReplies(log: Log): Promise<Replies> {
  const stop = new AbortController();
  const waiting = new Map<string, () => void>();
  const partition = partitionOf(REPLY_KEY, log.partitions);
  const records = await log.tail({ topic: peerTopics.replies.name, partition, from: "end", signal: stop.signal });
  const listening = listen(records);
  return {
    of(command) {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.set(command, resolve);
      return promise;
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await listening;
    },
  };

  async function listen(batches: AsyncIterable<readonly LogRecord[]>): Promise<void> {
    for await (const batch of batches) {
      for (const { headers } of batch) {
        const command = headers?.[COMMAND_HEADER] ?? "";
        waiting.get(command)?.();
        waiting.delete(command);
      }
    }
  }
}
