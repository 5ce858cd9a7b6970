import type { DomainTopics } from "../cqrs/domain.ts";

/** The topics of the order service. WARNING: these names are state. Whoever renames one starts with an empty log, and without old orders. */
export const orderTopics = {
  commands: { name: "orders.commands.v1", retention: "days" },
  events: { name: "orders.events.v1", retention: "forever" },
  state: { name: "orders.state.v1", retention: "latest" },
  deadLetters: { name: "orders.dead-letters.v1", retention: "forever" },
  replies: { name: "orders.replies.v1", retention: "live" },
  progress: { name: "orders.progress.v1", retention: "live" },
} as const satisfies DomainTopics;

/** The consumer groups. WARNING: renaming one makes its members start from their own positions as a new group, beside the old members. */
export const orderGroups = { handler: "orders.command-handler.v1", projector: "orders.projector.v1" } as const;
