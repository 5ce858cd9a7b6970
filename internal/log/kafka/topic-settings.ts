/**
 * What each kind of topic is created with, and what it must have however it was created: settings
 * that lose records, or refuse them, are found when a process starts and not when it is too late.
 */

import { MAX_RECORD_BYTES, type Retention } from "../../cqrs/log.ts";

const MINUTE_MS = 60 * 1000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** Room for a record's headers and the batch around it. */
const RECORD_OVERHEAD_BYTES = 64 * 1024;
const MAX_BATCH_BYTES = MAX_RECORD_BYTES + RECORD_OVERHEAD_BYTES;

/** Notifications are deleted by whole segments. */
const LIVE_SEGMENT_BYTES = 64 * 1024 * 1024;

/** The fewest replicas of which one may fail without a loss, and one more that may be away meanwhile. */
const REPLICATED = 3;
const ACKNOWLEDGING = 2;

/** What a setting must be. */
interface Rule {
  readonly setting: string;
  /** What a topic is created with; undefined: what the brokers have. */
  readonly created?: string | undefined;
  /** What is named as the fix, if it is another. */
  readonly fix: string;
  readonly isRight: (value: string) => boolean;
}

const common: readonly Rule[] = [atLeast("max.message.bytes", MAX_BATCH_BYTES)];

/** Of records that must not be lost. */
const kept: readonly Rule[] = [
  ...common,
  exactly("message.timestamp.type", "LogAppendTime"),
  exactly("unclean.leader.election.enable", "false"),
  // A batch that is larger than a segment is refused.
  { ...atLeast("segment.bytes", MAX_BATCH_BYTES), created: undefined },
  // These are what can be read here.
  oneOf("compression.type", ["producer", "uncompressed", "gzip", "zstd"]),
];

const rules: Readonly<Record<Retention, readonly Rule[]>> = {
  forever: [...kept, exactly("cleanup.policy", "delete"), exactly("retention.ms", "-1"), exactly("retention.bytes", "-1")],
  // The copies of the state go by this: they may miss deletions that are older.
  latest: [...kept, exactly("cleanup.policy", "compact"), atLeast("delete.retention.ms", DAY_MS)],
  days: [...kept, exactly("cleanup.policy", "delete"), atLeast("retention.ms", 7 * DAY_MS), exactly("retention.bytes", "-1")],
  live: [
    ...common,
    exactly("cleanup.policy", "delete"),
    atLeast("retention.ms", 10 * MINUTE_MS),
    { ...atLeast("segment.bytes", MAX_BATCH_BYTES), created: String(LIVE_SEGMENT_BYTES) },
  ],
};

/** What a topic is created with. */
export function settingsOf(retention: Retention, replicationFactor: number): Readonly<Record<string, string>> {
  const settings = rules[retention].flatMap(({ setting, created }) => (created === undefined ? [] : [[setting, created] as const]));
  const replicas = replicationFactor >= REPLICATED && retention !== "live" ? { "min.insync.replicas": String(ACKNOWLEDGING) } : {};
  return { ...Object.fromEntries(settings), ...replicas };
}

/** The settings that are looked at. */
export function checkedSettings(retention: Retention): readonly string[] {
  return [...rules[retention].map(({ setting }) => setting), "min.insync.replicas"];
}

/** A setting that must be changed. */
export interface WrongSetting {
  readonly setting: string;
  readonly value: string;
  readonly fix: string;
}

/** Which settings of a topic lose records or refuse them. A setting that the brokers do not know is right. */
export function wrongSettings(
  { retention, replicas }: { readonly retention: Retention; readonly replicas: number },
  values: ReadonlyMap<string, string>,
): readonly WrongSetting[] {
  const checked = [...rules[retention], inSync(retention, replicas)];
  return checked.flatMap(({ setting, fix, isRight }) => {
    const value = values.get(setting);
    return value === undefined || isRight(value) ? [] : [{ setting, value, fix }];
  });
}

/** One replica that acknowledges alone loses what it acknowledged with its machine; more than there are never acknowledge. */
function inSync(retention: Retention, replicas: number): Rule {
  const least = replicas >= REPLICATED && retention !== "live" ? ACKNOWLEDGING : 1;
  return { setting: "min.insync.replicas", fix: String(least), isRight: (value) => Number(value) >= least && Number(value) <= replicas };
}

function exactly(setting: string, value: string): Rule {
  return { setting, created: value, fix: value, isRight: (found) => found === value };
}

/** -1 is without a bound. */
function atLeast(setting: string, least: number): Rule {
  return {
    setting,
    created: String(least),
    fix: String(least),
    isRight: (value) => Number(value) === -1 || Number(value) >= least,
  };
}

function oneOf(setting: string, values: readonly [string, ...string[]]): Rule {
  return { setting, fix: values[0], isRight: (value) => values.includes(value) };
}
