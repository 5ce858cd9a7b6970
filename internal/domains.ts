/** The domains that every process runs: a domain that is listed here is decided, projected and served. */

import { type DeployedDomain, type Domain, deployDomain } from "./cqrs/domain.ts";
import type { Topic } from "./cqrs/log.ts";
import { orders } from "./orders/orders.ts";
import { tickets } from "./tickets/tickets.ts";

export const domains: readonly Domain[] = [orders, tickets];

/** All of them where they are deployed. @throws {TypeError} it is no namespace */
export function deployedDomains(namespace = ""): readonly DeployedDomain[] {
  return domains.map((domain) => deployDomain(domain, namespace));
}

/** The topics of all of them. */
export function topicsOf(deployed: readonly DeployedDomain[]): readonly Topic[] {
  return deployed.flatMap(({ topics }) => Object.values<Topic>({ ...topics }));
}
