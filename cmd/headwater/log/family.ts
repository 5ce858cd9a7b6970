import type { CommandFamily } from "../command.ts";

export const log: CommandFamily = {
  help: `headwater log: what is in the log, and moving all of it

Usage: headwater log <command> [options]

Commands:
  tail     the records of events, commands and dead letters, one line each
  export   all events, all state and the dead letters, as a file of JSON lines
  import   write an exported log into an empty one

headwater log <command> --help tells more.
`,
  commands: {
    tail: () => import("./tail.ts").then(({ tail }) => tail),
    export: () => import("./export.ts").then(({ exportCommand }) => exportCommand),
    import: () => import("./import.ts").then(({ importCommand }) => importCommand),
  },
};
