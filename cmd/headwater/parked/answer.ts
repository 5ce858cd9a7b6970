/** What an operator does about parked keys. The projector that has the partition does it, with its own code. */

import { userInfo } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import type { Documents } from "../../../internal/cqrs/documents.ts";
import { loadParkedById, type ParkedKey, type ParkedRequest, requestParked } from "../../../internal/cqrs/projector/parking.ts";
import { ConfigError, flagOnly, text } from "../../../internal/platform/config.ts";
import { systemOptions } from "../../../internal/process/options.ts";
import { command, jsonOption } from "../command.ts";
import { confirm, yesOption } from "../confirm.ts";
import { print } from "../printable.ts";
import { openSystem, type SystemValues } from "../system/open.ts";
import { findParked } from "./find.ts";

const LOOK_EVERY_MS = 50;

/** A projector that runs answers in milliseconds, unless very much waits. */
const ANSWER_WITHIN_MS = 30_000;

export const retry = command({
  name: "parked retry",
  about: "apply the event and what waits behind it, after the cause is mended",
  takes: "<view> [key]",
  details: "Without a key, all that waits in the view. The projectors do it: the code that mends it has to be theirs.",
  options: { reason: flagOnly(text("for those who ask later", "")), ...jsonOption, ...systemOptions },
  run: ({ values, positionals }) => answer(values, positionals, { action: "retry", reason: values.reason }),
});

export const skip = command({
  name: "parked skip",
  about: "leave the one event out of the view, and apply what waits behind it",
  takes: "<view> <key>",
  details: "It is left out for good, of later rebuilds too. The event stays in the log, and other views have it.",
  options: { reason: flagOnly(text("why, for those who ask later")), ...yesOption, ...jsonOption, ...systemOptions },
  async run({ values, positionals }) {
    if (positionals.length !== 2) throw new ConfigError("name a view and a key, as headwater parked list shows them");
    if (!(await confirm(`Leave the event that failed out of ${positionals.join(" ")}?`, values))) return 1;
    return answer(values, positionals, { action: "skip", reason: values.reason });
  },
});

async function answer(
  { json, ...values }: SystemValues & { readonly json: boolean },
  words: readonly string[],
  what: Pick<ParkedRequest, "action" | "reason">,
): Promise<number> {
  await using system = await openSystem(values);
  const entries = await findParked(system.documents, words);
  const answered: ParkedKey[] = [];
  for (const entry of entries)
    answered.push(await request(system.documents, entry, { ...what, by: userInfo().username, atMs: Date.now() }));
  print(json ? `${JSON.stringify(answered, null, 2)}\n` : answered.map(toLine).join(""));
  return answered.every(({ state }) => state !== "parked") ? 0 : 1;
}

async function request(documents: Documents, entry: ParkedKey, wanted: ParkedRequest): Promise<ParkedKey> {
  if (!(await requestParked(documents, entry, wanted))) {
    throw new Error(`${entry.view} ${entry.key} has changed in the meantime; look at it again and decide anew`);
  }
  const deadlineMs = Date.now() + ANSWER_WITHIN_MS;
  while (Date.now() < deadlineMs) {
    await delay(LOOK_EVERY_MS);
    const [now] = await loadParkedById(documents, [entry.id]);
    if (now !== undefined && now.request === undefined) return now;
  }
  throw new Error(`no projector has answered within ${ANSWER_WITHIN_MS / 1000} s; the next one that starts does what was asked`);
}

function toLine({ view, key, state, error, depth }: ParkedKey): string {
  return state === "parked" ? `${view} ${key} waits on with ${depth} events: ${error}\n` : `${view} ${key} goes on\n`;
}
