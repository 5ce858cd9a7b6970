import { systemOptions } from "../../../internal/process/options.ts";
import { command } from "../command.ts";
import { confirm, yesOption } from "../confirm.ts";
import { orderGroups } from "../domain.ts";
import { print } from "../printable.ts";
import { openLogToWrite } from "../system/open.ts";
import { table } from "../table.ts";
import { findLost, skip } from "./lost.ts";

export const skipLost = command({
  name: "commands skip-lost",
  about: "go on behind commands that were deleted before they were decided",
  details: `Command handlers refuse to pass over commands that are gone. This shows where they are, and with your consent moves the positions behind them.
What they were about stays as it is: nobody will decide them, unless their senders send them again. All command handlers must be stopped.`,
  options: { ...yesOption, ...systemOptions },
  async run({ values }) {
    await using log = await openLogToWrite(values);
    const lost = await findLost(log);
    if (lost.length === 0) {
      print("no commands are lost\n");
      return 0;
    }
    const rows = lost.map(({ partition, next, goesOnAt }) => [partition, next, goesOnAt, Math.abs(goesOnAt - next)]);
    print(table(["partition", "next command", "goes on at", "commands lost"], rows));
    const [handler] = await log.members(orderGroups.handler);
    if (handler !== undefined) throw new Error(`the command handler ${handler.instance} runs: stop all of them first, or headwater dev`);
    if (!(await confirm("Give these commands up?", values))) return 1;
    await skip(log, lost);
    print("the command handlers can be started\n");
    return 0;
  },
});
