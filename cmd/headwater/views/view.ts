/** A view, as an operator names it. */

import type { Documents } from "../../../internal/cqrs/documents.ts";
import type { Projection } from "../../../internal/cqrs/projection.ts";
import { openCatalogue, type ViewGenerations } from "../../../internal/cqrs/projector/generations.ts";
import { orderViews } from "../../../internal/orders/projection/views.ts";
import { ConfigError } from "../../../internal/platform/config.ts";

const names = orderViews.map(({ name }) => name).join(", ");

/** The only one that was named. @throws {ConfigError} there is none, or not one */
export function viewNamed([name, ...others]: readonly string[]): Projection {
  if (name === undefined || others.length > 0) throw new ConfigError(`name one view of ${names}`);
  const [view] = viewsNamed([name]);
  if (view === undefined) throw new ConfigError(`name one view of ${names}`);
  return view;
}

/** Those that were named; all if none was. @throws {ConfigError} there is no such view */
export function viewsNamed(wanted: readonly string[]): readonly Projection[] {
  if (wanted.length === 0) return orderViews;
  return wanted.map((name) => {
    const view = orderViews.find((each) => each.name === name);
    if (view === undefined) throw new ConfigError(`there is no view ${JSON.stringify(name)}; the views are ${names}`);
    return view;
  });
}

export async function generationsOf(documents: Documents, view: Projection): Promise<ViewGenerations> {
  const [entry] = await openCatalogue(documents).load([view]);
  if (entry === undefined) throw new Error(`the generations of ${view.name} were not found`);
  return entry;
}
