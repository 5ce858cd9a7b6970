import type { CommandFamily } from "../command.ts";

export const orders: CommandFamily = {
  help: `headwater orders: single orders, as the log has them

Usage: headwater orders <command> [options]

Commands:
  show     an order's state, what it answers retries with, and its whole history

headwater orders <command> --help tells more.
`,
  commands: {
    show: () => import("./show.ts").then(({ show }) => show),
  },
};
