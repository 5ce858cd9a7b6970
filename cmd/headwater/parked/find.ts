import type { Documents } from "../../../internal/cqrs/documents.ts";
import { listParked, type ParkedKey } from "../../../internal/cqrs/projector/parking.ts";
import { ConfigError } from "../../../internal/platform/config.ts";

/** What an operator means by a view and a key, or a view alone: in all its generations. @throws {ConfigError} nothing is meant */
export async function findParked(documents: Documents, words: readonly string[], { all = false } = {}): Promise<readonly ParkedKey[]> {
  const [view, key, ...others] = words;
  if (view === undefined || others.length > 0) throw new ConfigError("name a view and a key, as headwater parked list shows them");
  const entries = await listParked(documents, { all });
  const found = entries.filter((entry) => entry.view === view && (key === undefined || entry.key === key));
  if (found.length > 0) return found;
  throw new ConfigError(`nothing of ${key === undefined ? view : `${view} ${key}`} is parked; headwater parked list shows what is`);
}
