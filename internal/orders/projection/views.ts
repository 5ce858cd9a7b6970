import type { Projection } from "../../cqrs/projection.ts";
import { orderQueries } from "../query/queries.ts";

/** All views of orders: those that a query reads. They are projected, waited for and listed everywhere. */
export const orderViews: readonly Projection[] = [...new Set(Object.values(orderQueries).map(({ view }) => view))];

/** The names that callers wait for. */
export const orderViewNames: readonly string[] = orderViews.map(({ name }) => name);
