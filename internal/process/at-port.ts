/** Names the option behind an address that a server cannot listen on. */

import { variableOf } from "../platform/config.ts";

/**
 * Starts a server on the port that an option gives.
 *
 * @throws {Error} the port or the host cannot be used; the message names the option
 */
export async function atPort<Started>(option: string, start: () => Promise<Started>): Promise<Started> {
  try {
    return await start();
  } catch (error) {
    const said = explained(error, `--${option} (${variableOf(option)})`);
    throw said === undefined ? error : new Error(said, { cause: error });
  }
}

function explained(error: unknown, option: string): string | undefined {
  // Node says of every address that it could not listen on, which.
  const { code, address, port } = error as { readonly code?: unknown; readonly address?: string; readonly port?: number };
  switch (code) {
    case "EADDRINUSE":
      return `another process listens on ${address}:${port}: end that one, or choose another port with ${option}`;
    case "EACCES":
      return `this user may not listen on ${address}:${port}: choose a port above 1023 with ${option}`;
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return `${address ?? "the host"} is no address of this machine: choose another with --host (${variableOf("host")})`;
    default:
      return undefined;
  }
}
