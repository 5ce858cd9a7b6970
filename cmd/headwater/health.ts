/** `headwater health`: asks a process how it is, where no other probe is at hand. */

import { parseArgs } from "node:util";
import { createHealthProbe } from "../../internal/grpc/ask-health.ts";
import { print, printError } from "./printable.ts";

export const healthHelp = `headwater health: ask a process whether it is serving, by grpc.health.v1

Usage: headwater health <host:port> [options]

It ends with 0 if the answer is SERVING, with 1 for another answer or none, and with 2 if it is called wrongly.

Options:
  --service   full name of one of its services (default: the process as a whole)
  --timeout   how many seconds to wait (default 5)
`;

interface Question {
  readonly address: string;
  readonly service: string;
  readonly timeoutMs: number;
}

/** Returns the exit code. */
export async function health(args: readonly string[]): Promise<number> {
  const question = parseQuestion(args);
  if (typeof question === "string") {
    printError(`headwater health: ${question}\nheadwater health --help shows all options.\n`);
    return 2;
  }
  const { address, ...asked } = question;
  using probe = createHealthProbe(address);
  const status = await probe.ask(asked);
  print(`${status}\n`);
  return status === "SERVING" ? 0 : 1;
}

/** Or what is wrong with it. */
function parseQuestion(args: readonly string[]): Question | string {
  try {
    const options = { service: { type: "string", default: "" }, timeout: { type: "string", default: "5" } } as const;
    const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options });
    const [address, ...others] = positionals;
    if (address === undefined || others.length > 0 || !/:\d+$/.test(address)) return "name one address, such as 127.0.0.1:50051";
    if (!/^[1-9]\d{0,3}$/.test(values.timeout)) return "--timeout must be a whole number from 1 to 9999";
    return { address, service: values.service, timeoutMs: Number(values.timeout) * 1000 };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
