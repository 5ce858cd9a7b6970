import type { CommandFamily } from "../command.ts";

export const log: CommandFamily = {
  help: `headwater log: what is in the log

Usage: headwater log <command> [options]

Commands:
  tail     the records of events, commands and dead letters, one line each

headwater log <command> --help tells more.
`,
  commands: {
    tail: () => import("./tail.ts").then(({ tail }) => tail),
  },
};
