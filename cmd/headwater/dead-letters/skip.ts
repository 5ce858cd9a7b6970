import { DeadLetterAction } from "../../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { ConfigError, flagOnly, text } from "../../../internal/platform/config.ts";
import { systemOptions } from "../../../internal/process/options.ts";
import { command } from "../command.ts";
import { confirm, yesOption } from "../confirm.ts";
import { print } from "../printable.ts";
import { openLogToWrite } from "../system/open.ts";
import { findOpenLetters } from "./find.ts";
import { actorOption, resolve } from "./resolve.ts";

export const skip = command({
  name: "dead-letters skip",
  about: "give commands up that could not be decoded or decided",
  takes: "<id>...",
  details: "What they were about stays as it is. Who skipped them, when and why is kept with them.",
  options: { reason: flagOnly(text("why; it is recorded")), ...actorOption, ...yesOption, ...systemOptions },
  async run({ values, positionals }) {
    if (positionals.length === 0) throw new ConfigError("name dead letters; headwater dead-letters list shows their ids");
    await using log = await openLogToWrite(values);
    const letters = await findOpenLetters(log, positionals);
    if (!(await confirm(`Give up ${letters.length} command(s)?`, values))) return 1;
    for (const letter of letters) {
      await resolve(log, letter, { action: DeadLetterAction.SKIPPED, actor: values.actor, reason: values.reason });
      print(`${letter.id} is skipped\n`);
    }
    return 0;
  },
});
