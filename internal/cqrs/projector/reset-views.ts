import type { Documents } from "../documents.ts";
import type { Projection } from "../projection.ts";
import { collectionsOf, generationsCollection, openCatalogue } from "./generations.ts";
import { parkedCollection } from "./parking.ts";
import { REFUSALS } from "./refusals.ts";

/**
 * Removes everything that projectors have written about views: documents and checkpoints of all generations, parked keys, and the catalogue
 * last, so that what was interrupted can be repeated. No projector may be running.
 */
export async function resetViews(documents: Documents, views: readonly Projection[]): Promise<readonly string[]> {
  const entries = await openCatalogue(documents).load(views);
  const collections = new Set(entries.flatMap((entry) => [...collectionsOf(entry), ...entry.abandoned]));
  const removed = [...collections, parkedCollection.name, REFUSALS, generationsCollection.name];
  await documents.drop(removed);
  return removed;
}
