import { type Refusal, reject } from "./decision.ts";
import { MAX_ENTRIES } from "./limits.ts";

type Entries = "payments" | "shipments" | "returns" | "refunds";

export function refuseOneMore(entries: Readonly<Record<string, unknown>>, name: Entries): Refusal | undefined {
  if (Object.keys(entries).length < MAX_ENTRIES) return undefined;
  return reject("TOO_MANY_ENTRIES", `An order has at most ${MAX_ENTRIES} ${name}.`, { max_entries: String(MAX_ENTRIES) });
}

export function malformedId(name: "payment" | "shipment" | "return" | "refund"): Refusal {
  return reject(
    "INVALID_COMMAND",
    `A ${name}'s id has up to 64 letters, digits, dots, underscores, colons and hyphens, and begins with a letter or digit.`,
  );
}
