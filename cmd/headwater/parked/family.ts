import type { CommandFamily } from "../command.ts";

export const parked: CommandFamily = {
  help: `headwater parked: keys of views that wait, because an event cannot be applied

Usage: headwater parked <command> [options]

All later events of such a key wait behind the one that failed, in order; all other keys go on.

Commands:
  list     what waits, since when, why, and how much behind it
  show     one key, with what was done about it
  retry    apply the event and what waits behind it, after the cause is mended
  skip     leave the one event out, and apply what waits behind it

headwater parked <command> --help tells more.
`,
  commands: {
    list: () => import("./list.ts").then(({ list }) => list),
    show: () => import("./show.ts").then(({ show }) => show),
    retry: () => import("./answer.ts").then(({ retry }) => retry),
    skip: () => import("./answer.ts").then(({ skip }) => skip),
  },
};
