import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, it, onTestFinished } from "vitest";
import { isDamage, openCopy } from "./sqlite-copy.ts";

const SQLITE_NORMAL = 1;

const copy = { layout: 3, pragmas: "PRAGMA locking_mode = EXCLUSIVE", schema: "CREATE TABLE things (name TEXT NOT NULL)" };

it("a copy is written through to the disk before the write-ahead log is used again, so no page of it is from another time", () => {
  const db = openCopy({ ...copy, path: join(folder(), "new", "copy.sqlite") });
  expect(db.prepare("PRAGMA synchronous").get()).toEqual({ synchronous: SQLITE_NORMAL });
  expect(db.prepare("PRAGMA journal_mode").get()).toEqual({ journal_mode: "wal" });
  expect(db.prepare("PRAGMA checkpoint_fullfsync").get()).toEqual({ checkpoint_fullfsync: 1 });
  db.close();
});

it("a copy is kept as it is where its layout is the same, and made again where it is another", () => {
  const path = join(folder(), "copy.sqlite");
  for (const [layout, things] of [
    [3, 0],
    [3, 1],
    [4, 0],
    [3, 0],
  ] as const) {
    const db = openCopy({ ...copy, path, layout });
    expect(db.prepare("SELECT count(*) AS things FROM things").get()).toEqual({ things });
    db.exec("INSERT INTO things VALUES ('a thing')");
    db.close();
  }
});

it("what lies beside a damaged file goes with it", () => {
  const directory = folder();
  for (const suffix of ["", "-wal", "-shm", "-journal"]) writeFileSync(join(directory, `copy.sqlite${suffix}`), "garbage, ".repeat(2_000));
  const db = openCopy({ ...copy, path: join(directory, "copy.sqlite") });
  expect(db.prepare("SELECT count(*) AS things FROM things").get()).toEqual({ things: 0 });
  db.close();
  expect(readdirSync(directory)).toEqual(["copy.sqlite"]);
});

it("a file that another process has open is no damage, and stays", () => {
  const path = join(folder(), "copy.sqlite");
  const first = openCopy({ ...copy, path });
  first.exec("INSERT INTO things VALUES ('a thing')");
  expect(failureOf(() => openCopy({ ...copy, path }))).toMatchObject({ message: expect.stringContaining("locked") });
  expect(isDamage(failureOf(() => openCopy({ ...copy, path })))).toBe(false);
  expect(first.prepare("SELECT count(*) AS things FROM things").get()).toEqual({ things: 1 });
  first.close();
});

it("a full file, a wrong statement and any other error are no damage", () => {
  const db = new DatabaseSync(":memory:");
  db.exec("PRAGMA max_page_count = 2");
  expect(isDamage(failureOf(() => db.exec("CREATE TABLE a (b); INSERT INTO a VALUES (zeroblob(100000))")))).toBe(false);
  expect(isDamage(failureOf(() => db.exec("SELECT nonsense")))).toBe(false);
  expect(isDamage(new Error("any"))).toBe(false);
  db.close();
});

function failureOf(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}

function folder(): string {
  const directory = mkdtempSync(join(tmpdir(), "headwater-copy-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}
