/** Holds what callers were told against what was decided: I1 to I4, I11 and I12. */

import { fromBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { runtimeReasons } from "../../internal/cqrs/command/decide-command.ts";
import { timestampToMs } from "../../internal/cqrs/time.ts";
import { ConsistencyTokenSchema } from "../../internal/gen/headwater/cqrs/v1/token_pb.ts";
import type { Decision, Evidence } from "./evidence.ts";
import type { Attempt } from "./history.ts";

export function checkAnswers(evidence: Evidence, attempts: readonly Attempt[]): readonly string[] {
  const recorded = new Set(evidence.commands.map(({ commandId, fingerprint }) => `${commandId} ${hex(fingerprint)}`));
  const invoked = new Set(attempts.map(({ commandId }) => commandId));
  const invented = evidence.commands.filter(({ commandId }) => !invoked.has(commandId));
  const byCommand = [...Map.groupBy(attempts, ({ orderId, commandId }) => `${orderId} ${commandId}`).values()];
  return [
    ...invented.map(({ commandId, aggregateId }) => `I4: nobody sent the command ${commandId} of ${aggregateId}`),
    ...attempts.flatMap((attempt) => checkAnswer(attempt, evidence.decision(attempt.orderId, attempt.commandId), recorded)),
    ...byCommand.flatMap((same) => [...checkRefused(same, recorded), ...checkForgotten(same)]),
    ...[...Map.groupBy(attempts, ({ orderId }) => orderId).values()].flatMap((ofOrder) => checkOrderInTime(evidence, ofOrder)),
    ...checkExpectations(evidence, attempts),
  ];
}

function checkAnswer(attempt: Attempt, decision: Decision | undefined, recorded: ReadonlySet<string>): readonly string[] {
  const { orderId, commandId, fingerprint, isInquiry, result } = attempt;
  const name = `the answer to ${orderId} ${commandId}`;
  if (result.kind !== "ok" && result.kind !== "rejected") return [];
  if (result.kind === "ok" && result.version === undefined) {
    return recorded.has(`${commandId} ${hex(fingerprint)}`) ? [] : [`I1: ${name} says accepted, but it is not in the log`];
  }
  if (decision === undefined) return [`I1: ${name} is ${result.kind}, but nothing was decided`];
  const { outcome, events } = decision;
  const isSame = isInquiry || hex(outcome.fingerprint) === hex(fingerprint);
  if (result.kind === "rejected" && result.reason === runtimeReasons.commandIdReused) {
    return isSame ? [`I2: ${name} is a conflict with itself`] : [];
  }
  if (!isSame) return [`I2: ${name} is ${result.kind}, but its id was used with other facts`];
  if (result.kind === "rejected") {
    const { rejection } = outcome;
    const differs = rejection?.reason !== result.reason || rejection.message !== result.message || outcome.version !== result.version;
    return [
      ...(differs
        ? [`I1: ${name} is ${result.reason} at ${result.version}, not ${rejection?.reason ?? "accepted"} at ${outcome.version}`]
        : []),
      ...(events.length === 0 ? [] : [`I1: ${name} is a rejection, but there are events of it`]),
    ];
  }
  if (outcome.rejection !== undefined) return [`I1: ${name} is accepted, but it was refused`];
  const acceptedAtMs = outcome.acceptedAt === undefined ? undefined : timestampToMs(outcome.acceptedAt);
  const last = events.at(-1);
  return [
    ...(result.version === outcome.version ? [] : [`I1: ${name} has version ${result.version}, not ${outcome.version}`]),
    ...(result.acceptedAtMs === acceptedAtMs ? [] : [`I2: ${name} was accepted at another time than the decision says`]),
    ...(sequenceOf(result.token) === outcome.sequence ? [] : [`I2: ${name} has a token of another position than the decision`]),
    ...(last === undefined || last.version === outcome.version ? [] : [`I1: ${name} has another version than its last event`]),
  ];
}

/** What was refused at every attempt is not in the log. */
function checkRefused(same: readonly Attempt[], recorded: ReadonlySet<string>): readonly string[] {
  return [
    ...Map.groupBy(
      same.filter(({ isInquiry }) => !isInquiry),
      ({ fingerprint }) => hex(fingerprint),
    ),
  ].flatMap(([facts, attempts]) => {
    const [first] = attempts;
    const isRefused = attempts.every(({ result }) => result.kind === "failed");
    if (first === undefined || !isRefused || !recorded.has(`${first.commandId} ${facts}`)) return [];
    return [`I3: ${first.orderId} ${first.commandId} was refused, but it is in the log`];
  });
}

/** What was answered once is known to whoever asks later. */
function checkForgotten(same: readonly Attempt[]): readonly string[] {
  const answeredAtMs = Math.min(...same.filter(isAnswered).map(({ endedAtMs }) => endedAtMs));
  const forgotten = same.some(
    ({ result, startedAtMs }) => result.kind === "failed" && result.reason === "COMMAND_NOT_FOUND" && startedAtMs > answeredAtMs,
  );
  return forgotten
    ? [`I3: ${same[0]?.orderId} ${same[0]?.commandId} was answered, and later said to be unknown: ${same.map(storyOf).join("; ")}`]
    : [];
}

interface Span {
  readonly commandId: string;
  readonly startedAtMs: number;
  readonly answeredAtMs: number;
  readonly decision: Decision;
}

/** Of two commands of an order, the one that was answered before the other was sent has the lower version. */
function checkOrderInTime(evidence: Evidence, ofOrder: readonly Attempt[]): readonly string[] {
  const spans = [...Map.groupBy(ofOrder, ({ commandId }) => commandId)].flatMap(([commandId, attempts]) =>
    spanOf(evidence, commandId, attempts),
  );
  const byAnswer = spans.toSorted((a, b) => a.answeredAtMs - b.answeredAtMs);
  let next = 0;
  let latest: Span | undefined;
  return spans
    .toSorted((a, b) => a.startedAtMs - b.startedAtMs)
    .flatMap((span) => {
      for (let earlier = byAnswer[next]; earlier !== undefined && earlier.answeredAtMs < span.startedAtMs; earlier = byAnswer[next]) {
        if (latest === undefined || earlier.decision.outcome.version > latest.decision.outcome.version) latest = earlier;
        next += 1;
      }
      if (latest === undefined) return [];
      const { version } = latest.decision.outcome;
      const isBehind = span.decision.events.length > 0 ? span.decision.outcome.version > version : span.decision.outcome.version >= version;
      if (isBehind) return [];
      return [
        `I11: ${span.commandId} was sent after ${latest.commandId} was answered at version ${version}, and got ${span.decision.outcome.version}`,
      ];
    });
}

/** A command from its first attempt to its first answer. */
function spanOf(evidence: Evidence, commandId: string, attempts: readonly Attempt[]): readonly Span[] {
  const decision = evidence.decision(attempts[0]?.orderId ?? "", commandId);
  if (decision === undefined) return [];
  const decided = attempts.filter(({ fingerprint, isInquiry }) => !isInquiry && hex(fingerprint) === hex(decision.outcome.fingerprint));
  return [
    {
      commandId,
      decision,
      startedAtMs: Math.min(...decided.map(({ startedAtMs }) => startedAtMs)),
      answeredAtMs: Math.min(...decided.filter(isAnswered).map(({ endedAtMs }) => endedAtMs)),
    },
  ];
}

function storyOf({ isInquiry, result, startedAtMs, endedAtMs, fingerprint }: Attempt): string {
  const facts = hex(fingerprint).slice(0, 4);
  const times = `${Math.round(startedAtMs)} to ${Math.round(endedAtMs)}`;
  return `${isInquiry ? "a question" : `facts ${facts}`} from ${times}: ${result.kind} ${"reason" in result ? result.reason : ""}`;
}

function checkExpectations(evidence: Evidence, attempts: readonly Attempt[]): readonly string[] {
  const violations = attempts.flatMap(({ orderId, commandId, fingerprint, expectedVersion }) => {
    const decision = evidence.decision(orderId, commandId);
    if (expectedVersion === undefined || decision === undefined || hex(decision.outcome.fingerprint) !== hex(fingerprint)) return [];
    const { outcome, events } = decision;
    const before = outcome.version - events.length;
    const isRefused = outcome.rejection?.reason === runtimeReasons.versionMismatch;
    return isRefused === (before !== expectedVersion)
      ? []
      : [
          `I12: ${commandId} expected version ${expectedVersion} of ${orderId}, which was at ${before}, and was ${isRefused ? "refused" : "decided"}`,
        ];
  });
  return [...new Set(violations)];
}

function isAnswered({ result }: Attempt): boolean {
  return result.kind === "ok" || result.kind === "rejected";
}

/** The position in a token that names one partition. */
function sequenceOf(token: string): bigint | undefined {
  const { positions } = fromBinary(ConsistencyTokenSchema, base64Decode(token));
  return positions[0]?.sequences[0] ?? 0n;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
