import { fromBinary, toJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { readCommand } from "../../internal/cqrs/command/read-command.ts";
import type { Domain } from "../../internal/cqrs/domain.ts";
import { partitionOf } from "../../internal/cqrs/partition.ts";
import { orders } from "../../internal/orders/orders.ts";
import { tickets } from "../../internal/tickets/tickets.ts";
import { encoded, families, goldenFiles, goldenOf, readGolden, versionsOf } from "./golden.ts";

const kinds = families.flatMap((family) => family.kinds.map((kind) => ({ family, kind, title: `${family.name}: ${kind.name}` })));

/** Of a domain's events or commands, all bytes that were ever recorded. */
function recorded(domain: Domain, what: "events" | "commands") {
  return kinds
    .filter(({ family }) => family.domain === domain && family.name.endsWith(what))
    .flatMap(({ family, kind, title }) => versionsOf(family, kind).map((version) => ({ family, kind, title, version })))
    .map(({ family, kind, title, version }) => {
      return {
        title: `${title} in version ${version}`,
        version,
        bytes: Buffer.from(readGolden(family, kind, version)?.bytes ?? "", "base64"),
      };
    });
}

describe.each(kinds)("$title", ({ family, kind }) => {
  const { schemaVersion } = family;
  const versions = versionsOf(family, kind);

  it("is recorded in every schema version since its first, up to today's", () => {
    const expected = Array.from({ length: schemaVersion }, (_, index) => index + 1).filter((version) => version >= (versions[0] ?? 1));
    expect(versions).toEqual(expected);
  });

  it("is written as it is recorded; whoever changes it raises the schema version", () => {
    expect(encoded(kind, kind.written())).toBe(readGolden(family, kind, schemaVersion)?.bytes);
  });

  describe.each(versions.map((version) => ({ version, golden: readGolden(family, kind, version) })))("in version $version", (each) => {
    const { version, golden } = each;
    const bytes = golden?.bytes ?? "";

    it("has bytes that still say what they said, and mean today what is recorded", () => {
      expect(goldenOf(kind, bytes, version)).toEqual(golden);
    });

    it("is encoded so that yesterday's code can read it", () => {
      expect(encoded(kind, golden?.message ?? {})).toBe(bytes);
    });
  });
});

describe.each([orders, tickets])("of the domain $name,", (domain) => {
  const { aggregate, events, views } = domain;

  it.each(recorded(domain, "events"))("$title says its version, and is folded by the aggregate and by every view", ({ bytes, version }) => {
    const event = events.read(bytes);
    expect(fromBinary(aggregate.eventSchema, bytes)).toMatchObject({ metadata: { schemaVersion: version } });
    expect(() => toJson(aggregate.stateSchema, aggregate.evolve(aggregate.initial(), event))).not.toThrow();
    for (const view of views) {
      for (const id of view.keys(event))
        expect(view.decode(view.encode(view.fold(undefined, id, event), { stream: { 0: 1 } }))).toBeDefined();
    }
  });

  it.each(recorded(domain, "commands"))("$title is decided", ({ bytes }) => {
    const { metadata, command } = fromBinary(domain.commands.record, bytes);
    const { aggregateId: key = "", commandId = "", stream = "" } = metadata ?? {};
    const record = { key, value: bytes, offset: 0, timestampMs: 0, partition: partitionOf(key, 8) };
    expect(readCommand({ domain, stream, partitions: 8 }, record)).toEqual({ metadata, command });
    if (command === undefined) throw new Error("it is no command");
    const context = { aggregateId: key, commandId, occurredAt: new Date(0) };
    expect(() => aggregate.decide(aggregate.initial(), command, context)).not.toThrow();
  });
});

it.each(families)("nothing else is recorded of the $name", (family) => {
  const expected = family.kinds.flatMap((kind) => versionsOf(family, kind).map((version) => `${kind.name}.v${version}.json`));
  expect(goldenFiles(family)).toEqual(expected.toSorted());
});

it.each(kinds)("$title: a byte that changes is noticed", ({ family, kind }) => {
  const [version = 1] = versionsOf(family, kind);
  const golden = readGolden(family, kind, version);
  const bytes = Buffer.from(golden?.bytes ?? "", "base64");
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
  expect(goldenOf(kind, bytes.toString("base64"), version).message).not.toEqual(golden?.message);
});
