/** `headwater import`: sends the invoices of a shop through the public API, as any client would, and accounts for every row. */

import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { connectGrpc } from "../../../sdk/src/node.ts";
import { print, printError } from "../printable.ts";
import { Account, addsUp, describeAccount } from "./account.ts";
import { groupInvoices } from "./invoices.ts";
import { startProgress } from "./progress.ts";
import { FileError, parseRows, type RowsOfFile } from "./rows.ts";
import { sendInvoices } from "./send-invoices.ts";

export const importHelp = `headwater import: send the orders of a CSV file through the public API

Usage: headwater import <csv> [options]

A row is a line in UTF-8. What cannot be read exactly is refused and counted with its reason: a row with a quote at an odd place, with too
many or too few columns, or with a control character, together with the rest of its invoice; a file in another encoding as a whole. The account
counts the lines of the file, and each has one fate. Rows that were refused are no failure: it ends with 0 when every line is accounted for.

Every invoice becomes a finished sale, every credit note the return of items. The ids of the commands follow from the file, so running it
again changes nothing, and completes what was interrupted.

Options:
  --command-url     where the command service is (default http://127.0.0.1:50051)
  --query-url       where the query service is (default http://127.0.0.1:50052)
  --max-in-flight   how many commands may be under way at a time (default 512)
  --timeout         how many seconds to wait for a server that is away (default 120)
  --json            print the account as JSON
`;

interface ImportConfig {
  readonly file: string;
  readonly commandUrl: string;
  readonly queryUrl: string;
  readonly maxInFlight: number;
  readonly timeoutMs: number;
  readonly json: boolean;
}

class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Returns the exit code: 0 when every row is accounted for. */
export async function importOrders(args: readonly string[]): Promise<number> {
  try {
    const config = parseImportConfig(args);
    return await run(config, await readRows(config.file));
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof FileError)) throw error;
    printError(`headwater import: ${error.message}\n${error instanceof UsageError ? "headwater import --help shows all options.\n" : ""}`);
    return error instanceof UsageError ? 2 : 1;
  }
}

async function run(config: ImportConfig, { lines, emptyLines, rows, malformed }: RowsOfFile): Promise<number> {
  const { maxInFlight, timeoutMs, commandUrl } = config;
  const account = new Account({ lines, emptyLines, rows: rows.length + malformed.length });
  for (const reason of malformed) account.reject(reason, 1);
  const interrupt = new AbortController();
  const onSignal = (): void => interrupt.abort(new Error("interrupted"));
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  using headwater = connectGrpc(config);
  const progress = startProgress({ account, stream: process.stderr, commandUrl, timeoutMs });
  let ended: Error | undefined;
  try {
    await sendInvoices(groupInvoices(rows), { headwater, account, maxInFlight, timeoutMs, signal: interrupt.signal });
  } catch (error) {
    ended = error instanceof Error ? error : new Error(String(error));
  } finally {
    progress[Symbol.dispose]();
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  }
  const summary = account.summary();
  print(config.json ? `${JSON.stringify(summary, null, 2)}\n` : describeAccount(summary));
  if (ended !== undefined) {
    printError(`headwater import: ended before its time: ${ended.message}\n`);
    // Commands that still wait for their answers would keep the process alive until their time is over.
    process.exit(1);
  }
  if (addsUp(summary)) return 0;
  printError("headwater import: the account does not add up; this is a bug\n");
  return 1;
}

function parseImportConfig(args: readonly string[]): ImportConfig {
  const { values, positionals } = parseFlags(args);
  const [file, ...others] = positionals;
  if (file === undefined || others.length > 0) throw new UsageError("name one CSV file");
  return {
    file,
    commandUrl: url("command-url", values["command-url"] ?? "http://127.0.0.1:50051"),
    queryUrl: url("query-url", values["query-url"] ?? "http://127.0.0.1:50052"),
    maxInFlight: positiveInteger("max-in-flight", values["max-in-flight"] ?? "512"),
    timeoutMs: positiveInteger("timeout", values.timeout ?? "120") * 1000,
    json: values.json ?? false,
  };
}

function parseFlags(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        "command-url": { type: "string" },
        "query-url": { type: "string" },
        "max-in-flight": { type: "string" },
        timeout: { type: "string" },
        json: { type: "boolean" },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function url(name: string, value: string): string {
  if (/^https?:\/\//.test(value) && URL.canParse(value)) return value;
  throw new UsageError(`--${name} must be a URL such as http://127.0.0.1:50051, not "${value}"`);
}

function positiveInteger(name: string, value: string): number {
  if (/^[1-9]\d{0,5}$/.test(value)) return Number(value);
  throw new UsageError(`--${name} must be a whole number from 1 to 999999, not "${value}"`);
}

async function readRows(file: string): Promise<RowsOfFile> {
  try {
    return parseRows(await readFile(file));
  } catch (error) {
    throw new FileError(`${file} cannot be imported: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}
