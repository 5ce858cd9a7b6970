import type { Report } from "./run.ts";

/** How many violations are printed. */
const MAX_PRINTED = 40;
const MAX_REASONS = 20;

export function formatReport({ struck, history, violations, recoveriesMs, ...report }: Report): string {
  const faults = [...Map.groupBy(struck, ({ name }) => name)].toSorted(([, a], [, b]) => b.length - a.length);
  const results = [...Map.groupBy(history.attempts, ({ result }) => result.kind)];
  const given = history.attempts.flatMap(({ result }) => (result.kind === "ok" ? [] : [`${result.kind}: ${result.reason}`]));
  const reasons = [...Map.groupBy(given, (reason) => reason)].toSorted(([, a], [, b]) => b.length - a.length).slice(0, MAX_REASONS);
  const recoveries = recoveriesMs.toSorted((a, b) => a - b);
  const { decided, answered, poison } = report.account;
  return [
    `${struck.length} faults in ${Math.round(report.durationMs / 1_000)} s`,
    ...faults.map(([name, each]) => `  ${String(each.length).padStart(4)}  ${name}`),
    `${new Set(history.attempts.map(({ commandId }) => commandId)).size} commands in ${history.attempts.length} calls: ${results.map(([kind, each]) => `${each.length} ${kind}`).join(", ")}`,
    ...reasons.map(([reason, each]) => `  ${String(each.length).padStart(6)}  ${reason}`),
    `in the log: ${decided} decided, ${answered} answered again, ${poison} bad; ${report.events} events`,
    `${history.reads.length} reads, ${[...history.failedReads].map(([reason, count]) => `${count} ${reason}`).join(", ") || "none failed"}`,
    `drained in ${Math.round(report.drainMs)} ms; ${report.unknown} commands stay unknown`,
    `${report.endings.length} processes ended by themselves`,
    ...report.endings.map(
      ({ instance, output }) => `  ${instance}: ${output.split("\n").findLast((line) => line.includes("has ended")) ?? "no last line"}`,
    ),
    `decided again after a handler's death: p50 ${percentile(recoveries, 0.5)} ms, p99 ${percentile(recoveries, 0.99)} ms, of ${recoveries.length}`,
    `${violations.length} violations`,
    ...violations.slice(0, MAX_PRINTED).map((violation) => `  ${violation}`),
  ].join("\n");
}

function percentile(sorted: readonly number[], share: number): number | string {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? "-";
}
