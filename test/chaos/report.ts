import type { EraReport, Report } from "./run.ts";

/** How many violations are printed. */
const MAX_PRINTED = 40;
const MAX_REASONS = 20;

export function formatReport({ eras, violations, durationMs }: Report): string {
  const struck = eras.flatMap((era) => era.struck);
  const faults = [...Map.groupBy(struck, ({ name }) => name)].toSorted(([, a], [, b]) => b.length - a.length);
  return [
    `${struck.length} faults in ${Math.round(durationMs / 1_000)} s`,
    ...faults.map(([name, each]) => `  ${String(each.length).padStart(4)}  ${name}`),
    ...eras.flatMap((era, index) => [...(eras.length > 1 ? [`era ${index + 1}`] : []), ...linesOf(era)]),
    `${violations.length} violations`,
    ...violations.slice(0, MAX_PRINTED).map((violation) => `  ${violation}`),
  ].join("\n");
}

function linesOf({ history, account, ...era }: EraReport): readonly string[] {
  const { attempts, reads, sights, pipelines, subscriptions, watches, failedReads } = history;
  const results = countedBy(attempts, ({ result }) => result.kind);
  const given = attempts.flatMap(({ result }) => (result.kind === "ok" ? [] : [`${result.kind}: ${result.reason}`]));
  const recoveries = era.recoveriesMs.toSorted((a, b) => a - b);
  const delivered = subscriptions.reduce((sum, each) => sum + each.delivered.length, 0);
  return [
    `${new Set(attempts.map(({ commandId }) => commandId)).size} commands in ${attempts.length} calls:`,
    `  ${results.map(([kind, count]) => `${count} ${kind}`).join(", ")}`,
    ...countedBy(given, (reason) => reason)
      .slice(0, MAX_REASONS)
      .map(([reason, count]) => `  ${String(count).padStart(6)}  ${reason}`),
    `in the log: ${account.decided} decided, ${account.answered} answered again, ${account.poison} bad; ${era.events} events`,
    `${reads.length} orders read or listed, ${sights.length} looks at what was projected,`,
    `  ${pipelines.length} whole streams, ${watches.length} watches, ${delivered} events for ${subscriptions.length} subscriptions`,
    ...[...failedReads].map(([reason, count]) => `  ${String(count).padStart(6)}  ${reason}`),
    `drained in ${Math.round(era.drainMs)} ms; ${era.unknown} commands stay unknown`,
    `${era.endings.length} processes ended by themselves`,
    ...era.endings.map(
      ({ instance, output }) => `  ${instance}: ${output.split("\n").findLast((line) => line.includes("has ended")) ?? "no last line"}`,
    ),
    `decided again after a handler's death, of ${recoveries.length}:`,
    `  p50 ${percentile(recoveries, 0.5)} ms, p99 ${percentile(recoveries, 0.99)} ms`,
  ];
}

function countedBy<Item>(items: readonly Item[], nameOf: (item: Item) => string): readonly (readonly [name: string, count: number])[] {
  const groups = [...Map.groupBy(items, nameOf)].map(([name, each]) => [name, each.length] as const);
  return groups.toSorted(([, a], [, b]) => b - a);
}

function percentile(sorted: readonly number[], share: number): number | string {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? "-";
}
