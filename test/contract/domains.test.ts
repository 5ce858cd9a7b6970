/** The domains share a log and a database: what names their parts there must be their own. */

import { expect, it } from "vitest";
import { deployedDomains, domains, topicsOf } from "../../internal/domains.ts";

const twice = (names: readonly string[]): readonly string[] => names.filter((name, index) => names.indexOf(name) !== index);

it.each([
  ["names", domains.map(({ name }) => name)],
  ["views, whose documents would be mixed", domains.flatMap(({ views }) => views.map(({ name }) => name))],
  ["collections", domains.flatMap(({ views }) => views.map(({ collection }) => collection.name))],
  ["services", domains.flatMap(({ commands, queries }) => [commands.service.typeName, queries.service.typeName])],
  ["topics", topicsOf(deployedDomains()).map(({ name }) => name)],
  ["groups", deployedDomains().flatMap(({ groups }) => Object.values(groups))],
])("no two domains have the same %s", (_what, names) => {
  expect(names.length).toBeGreaterThan(1);
  expect(twice(names)).toEqual([]);
});

it("a domain's name can stand in names of topics and groups", () => {
  for (const { name } of domains) expect(name).toMatch(/^[a-z0-9-]{1,40}$/);
});

it("every view that a domain's queries read is one of its views", () => {
  for (const { queries, views } of domains) {
    const read = Object.values(queries.unary).map(({ view }) => view);
    expect(read.filter((view) => !views.includes(view))).toEqual([]);
  }
});
