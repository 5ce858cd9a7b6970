import type { Log } from "../../../internal/cqrs/log.ts";
import { orderGroups, orderTopics } from "../domain.ts";

/** Commands that the log has and that no handler has decided, per partition. */
export async function commandsWaiting(log: Log): Promise<readonly number[]> {
  const topic = orderTopics.commands.name;
  const [committed, begins, ends] = await Promise.all([log.committed(orderGroups.handler, topic), log.begins(topic), log.ends(topic)]);
  return ends.map((end, partition) => Math.max(0, end - Math.max(committed[partition] ?? 0, begins[partition] ?? 0)));
}
