import { randomUUID } from "node:crypto";
import { createCommandGateway } from "../../../internal/cqrs/command/command-gateway.ts";
import { DeadLetterAction } from "../../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { systemClock } from "../../../internal/platform/clock.ts";
import { ConfigError, flagOnly, integer, text } from "../../../internal/platform/config.ts";
import { systemOptions } from "../../../internal/process/options.ts";
import { command } from "../command.ts";
import { confirm, yesOption } from "../confirm.ts";
import { orderDomain } from "../domain.ts";
import { print } from "../printable.ts";
import { openLogToWrite } from "../system/open.ts";
import { findOpenLetters } from "./find.ts";
import { actorOption, resolve } from "./resolve.ts";
import { commandIn, isUndecided, type SentAgain, sendAgain } from "./send-again.ts";

export const retry = command({
  name: "dead-letters retry",
  about: "send commands again, after what was wrong has been fixed",
  takes: "<id>...",
  details: `A command that was refused as not decodable gets a new id, such as "…/retry-1", since the old one answers so forever; one that could not be
read at all keeps its own. Either is decided once, however often this is called. It is decided as if it came now: on the order as it is, and at
the version that it expects. Who retried it, when and why is kept with it. If one could not be decided again, it ends with 1, and there is a new
dead letter.`,
  options: {
    reason: flagOnly(text("why, for the record", "")),
    timeout: flagOnly(integer("for how many seconds to wait for a decision", 1, 3_600, 10)),
    ...actorOption,
    ...yesOption,
    ...systemOptions,
  },
  async run({ values, positionals }) {
    if (positionals.length === 0) throw new ConfigError("name dead letters; headwater dead-letters list shows their ids");
    await using log = await openLogToWrite(values);
    const letters = await findOpenLetters(log, positionals);
    for (const letter of letters) commandIn(letter, log);
    if (!(await confirm(`Send ${letters.length} command(s) again?`, values))) return 1;
    await using gateway = await createCommandGateway({ log, domain: orderDomain, clock: systemClock, instance: randomUUID() });
    let code = 0;
    for (const letter of letters) {
      const sent = await sendAgain(log, gateway, letter, AbortSignal.timeout(values.timeout * 1_000));
      // Behind the command: if this is never written, the command is not sent twice, but found decided.
      await resolve(log, letter, {
        action: DeadLetterAction.RETRIED,
        actor: values.actor,
        reason: values.reason,
        commandId: sent.commandId,
      });
      print(`${letter.id} is sent again as ${sent.commandId}: ${describe(sent)}\n`);
      if (sent.outcome !== undefined && isUndecided(sent.outcome)) code = 1;
    }
    return code;
  },
});

function describe({ outcome }: SentAgain): string {
  if (outcome === undefined) return "not decided yet; does a command handler run?";
  const { rejection, version } = outcome;
  if (rejection === undefined) return `accepted, the order is at version ${version}`;
  return isUndecided(outcome) ? "it could not be decided again" : `refused: ${rejection.reason}, ${rejection.message}`;
}
