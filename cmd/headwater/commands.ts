import type { CommandFamily } from "./command.ts";

/** Loaded when they are asked for: a health check every few seconds must not load a whole system. */
export const headwater: CommandFamily = {
  help: `headwater: CQRS on Apache Kafka as gRPC services

Usage: headwater <command> [options]

Commands:
  dev      run everything in this process, on an embedded log and document store
  import   send the orders of a CSV file through the public API
  health   ask a process whether it is serving

Commands for operators, on a system in either form, while it runs or stands:
  status         how far commands, events and views are, and who works on them
  views          views and their generations: rebuild, roll back, verify
  parked         keys of views that wait, because an event cannot be applied
  topics         the topics of the log, and what is in them
  orders         single orders, as the log has them
  log            the records of the log
  dead-letters   commands that could not be decoded or decided
  commands       go on behind commands that are gone

headwater <command> --help tells more.
`,
  commands: {
    dev: () => import("./dev.ts").then(({ dev, devHelp }) => ({ run: dev, help: devHelp })),
    import: () => import("./import/import.ts").then(({ importOrders, importHelp }) => ({ run: importOrders, help: importHelp })),
    health: () => import("./health.ts").then(({ health, healthHelp }) => ({ run: health, help: healthHelp })),
    orders: () => import("./orders/family.ts").then(({ orders }) => orders),
    log: () => import("./log/family.ts").then(({ log }) => log),
    status: () => import("./status/status.ts").then(({ status }) => status),
    views: () => import("./views/family.ts").then(({ views }) => views),
    parked: () => import("./parked/family.ts").then(({ parked }) => parked),
    "dead-letters": () => import("./dead-letters/family.ts").then(({ deadLetters }) => deadLetters),
    commands: () => import("./commands/family.ts").then(({ commands }) => commands),
    topics: () => import("./topics.ts").then(({ topics }) => topics),
  },
};
