import { expect, it } from "vitest";
import { checkedSettings, settingsOf, wrongSettings } from "./topic-settings.ts";

const retentions = ["forever", "latest", "days", "live"] as const;

it.each(retentions)("a topic that is created with the settings of %s is right, with one replica and with three", (retention) => {
  for (const replicas of [1, 3]) {
    expect(wrongSettings({ retention, replicas }, new Map(Object.entries(settingsOf(retention, replicas))))).toEqual([]);
  }
});

const day = 24 * 60 * 60 * 1000;

/** Setting, value, and of which topics it is wrong where there are three replicas. */
const values: readonly (readonly [string, string, readonly string[]])[] = [
  ["retention.bytes", "50000000000", ["forever", "days"]],
  ["retention.ms", String(7 * day), ["forever"]],
  ["retention.ms", String(6 * day), ["forever", "days"]],
  ["retention.ms", String(30 * day), ["forever"]],
  ["retention.ms", "1000", ["forever", "days", "live"]],
  ["retention.ms", "-1", []],
  ["cleanup.policy", "compact", ["forever", "days", "live"]],
  ["cleanup.policy", "delete", ["latest"]],
  ["cleanup.policy", "compact,delete", ["forever", "latest", "days", "live"]],
  ["delete.retention.ms", String(day - 1), ["latest"]],
  ["delete.retention.ms", String(2 * day), []],
  ["max.message.bytes", "1048588", ["forever", "latest", "days", "live"]],
  ["max.message.bytes", String(10 * 1024 * 1024), []],
  ["segment.bytes", "1048576", ["forever", "latest", "days", "live"]],
  ["message.timestamp.type", "CreateTime", ["forever", "latest", "days"]],
  ["unclean.leader.election.enable", "true", ["forever", "latest", "days"]],
  ["min.insync.replicas", "1", ["forever", "latest", "days"]],
  ["min.insync.replicas", "2", []],
  ["min.insync.replicas", "4", ["forever", "latest", "days", "live"]],
  ["compression.type", "snappy", ["forever", "latest", "days"]],
  ["compression.type", "zstd", []],
];

it.each(values)("%s=%s is refused where it loses or refuses records", (setting, value, wrong) => {
  const found = retentions.filter((retention) => wrongSettings({ retention, replicas: 3 }, new Map([[setting, value]])).length > 0);
  expect(found).toEqual(wrong);
});

it("what is named as the fix is right", () => {
  for (const retention of retentions) {
    for (const replicas of [1, 2, 3]) {
      const bad = new Map(checkedSettings(retention).map((setting) => [setting, "0"]));
      const fixed = wrongSettings({ retention, replicas }, bad).map(({ setting, fix }) => [setting, fix] as const);
      expect(fixed.length).toBeGreaterThan(3);
      expect(wrongSettings({ retention, replicas }, new Map(fixed))).toEqual([]);
    }
  }
});

it("two replicas may do with one that acknowledges, and one replica can have no more", () => {
  const ofOne = new Map([["min.insync.replicas", "1"]]);
  expect(wrongSettings({ retention: "forever", replicas: 2 }, ofOne)).toEqual([]);
  expect(wrongSettings({ retention: "forever", replicas: 1 }, ofOne)).toEqual([]);
  expect(wrongSettings({ retention: "forever", replicas: 1 }, new Map([["min.insync.replicas", "2"]]))).toHaveLength(1);
});
