/** What the process that writes without an end and the test that ends it both know. */

import type { Topic } from "../../../cqrs/log.ts";

export const partitions = 2;

export const topics = {
  commands: { name: "commands", retention: "forever" },
  events: { name: "events", retention: "forever" },
  state: { name: "state", retention: "latest" },
} as const satisfies Readonly<Record<string, Topic>>;

/** A line that the process prints. */
export type Acknowledged =
  | { readonly key: string; readonly partition: number; readonly offset: number }
  | { readonly transaction: number }
  | { readonly error: string; readonly ends: readonly number[] };
