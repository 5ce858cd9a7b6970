import type { CommandFamily } from "../command.ts";

export const deadLetters: CommandFamily = {
  help: `headwater dead-letters: commands that could not be decoded or decided

Usage: headwater dead-letters <command> [options]

Commands:
  list     those that are open, with their age and what is wrong
  show     one of them, with everything that is known of it
  retry    send commands again, after what was wrong has been fixed
  skip     give commands up

headwater dead-letters <command> --help tells more.
`,
  commands: {
    list: () => import("./list.ts").then(({ list }) => list),
    show: () => import("./show.ts").then(({ show }) => show),
    retry: () => import("./retry.ts").then(({ retry }) => retry),
    skip: () => import("./skip.ts").then(({ skip }) => skip),
  },
};
