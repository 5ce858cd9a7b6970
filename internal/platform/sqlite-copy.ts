/**
 * SQLite files that are copies: all that is in them can be read again from where it comes from. So a
 * file that is damaged, or laid out for another version of the program, is removed and made again.
 */

import { mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** SQLite's result codes that say that a file is not what was written: SQLITE_CORRUPT and SQLITE_NOTADB. */
const damageCodes: ReadonlySet<number> = new Set([11, 26]);

/** The same of its extended codes: reading failed or came short, or a checksum of the file system did not fit. */
const damageExtendedCodes: ReadonlySet<number> = new Set([266, 522, 8202, 8458]);

const PRIMARY_CODE = 0xff;

/**
 * NORMAL: after a power failure the file is as it was some commits ago. Without it SQLite would not
 * wait for the disk at all, and pages of several commits could be mixed without anybody noticing. On
 * macOS only the last of these makes a disk write what it holds; elsewhere it says nothing.
 */
const COMMON_PRAGMAS = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  PRAGMA cell_size_check = ON;
  PRAGMA checkpoint_fullfsync = ON;
`;

/** Beside the file itself. */
const SUFFIXES = ["", "-wal", "-shm", "-journal"] as const;

/** Files that were found damaged since this thread began. */
const found = new Set<string>();

/** What a copy holds is not what was written. */
export class DamagedCopyError extends Error {
  override readonly name = "DamagedCopyError";
}

/** Whether an error says that a file is damaged. A full disk, a locked file and a missing right do not. */
export function isDamage(error: unknown): boolean {
  if (error instanceof DamagedCopyError) return true;
  if (!(error instanceof Error && "errcode" in error && typeof error.errcode === "number")) return false;
  return damageCodes.has(error.errcode & PRIMARY_CODE) || damageExtendedCodes.has(error.errcode);
}

export interface CopyOptions {
  /** Of the file, or ":memory:". */
  readonly path: string;
  /** Another number in the file means that its tables are others: they are not read. At least 1. */
  readonly layout: number;
  /** What else sets the connection up. */
  readonly pragmas: string;
  /** Creates the tables. */
  readonly schema: string;
}

/**
 * Opens a copy. A file that is damaged or has another layout is removed, and an empty one is opened.
 *
 * @throws {Error} the file cannot be used: it is locked, say, or was damaged before in this thread
 */
export function openCopy(options: CopyOptions): DatabaseSync {
  const { path } = options;
  if (path !== ":memory:") mkdirSync(dirname(path), { recursive: true });
  try {
    return opened(options) ?? openedNew(options);
  } catch (error) {
    if (!isDamage(error)) throw error;
    removeDamaged(path, error);
    return openedNew(options);
  }
}

/**
 * Removes a damaged file, which must be closed, once: a disk that damages it again is not to be used.
 *
 * @throws {Error} it was damaged before, since this thread began
 */
export function removeDamaged(path: string, damage: unknown): void {
  const reason = damage instanceof Error ? damage.message : String(damage);
  if (found.has(path)) throw new Error(`${path} is damaged again (${reason}): check the disk, or choose another folder`, { cause: damage });
  found.add(path);
  removeFiles(path);
  process.emitWarning(`${path} was damaged (${reason}); it is a copy, and is made again`);
}

/** Undefined: it has another layout, and was removed. */
function opened({ path, layout, pragmas, schema }: CopyOptions): DatabaseSync | undefined {
  const db = new DatabaseSync(path);
  try {
    db.exec(pragmas);
    db.exec(COMMON_PRAGMAS);
    const isNew = db.prepare("SELECT count(*) AS objects FROM sqlite_schema").get()?.["objects"] === 0;
    if (isNew) db.exec(`BEGIN; ${schema}; PRAGMA user_version = ${layout}; COMMIT`);
    if (db.prepare("PRAGMA user_version").get()?.["user_version"] === layout) return db;
  } catch (error) {
    db.close();
    throw error;
  }
  db.close();
  removeFiles(path);
  return undefined;
}

function openedNew(options: CopyOptions): DatabaseSync {
  const db = opened(options);
  if (db === undefined) throw new Error(`${options.path} has another layout again: does another program use it?`);
  return db;
}

function removeFiles(path: string): void {
  for (const suffix of SUFFIXES) rmSync(`${path}${suffix}`, { force: true });
}
