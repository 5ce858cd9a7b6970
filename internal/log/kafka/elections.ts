import { typeOf } from "./errors.ts";

/** What brokers say of a partition that was created a moment ago, or whose leader is being elected. */
const passing: ReadonlySet<string> = new Set(["UNKNOWN_TOPIC_OR_PARTITION", "LEADER_NOT_AVAILABLE", "NOT_LEADER_FOR_PARTITION"]);

/** An election takes some seconds where a broker has died. */
const DEADLINE_MS = 30_000;
const RETRY_MS = 50;

/** Asks again while leaders are missing. */
export async function throughElections<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  const deadlineMs = Date.now() + DEADLINE_MS;
  while (true) {
    try {
      return await ask();
    } catch (error) {
      if (!passing.has(typeOf(error) ?? "") || Date.now() > deadlineMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}
