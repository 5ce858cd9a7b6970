import type { CommandFamily } from "../command.ts";

export const commands: CommandFamily = {
  help: `headwater commands: commands that the log has, or should have

Usage: headwater commands <command> [options]

Commands:
  skip-lost   go on behind commands that were deleted before they were decided

headwater commands <command> --help tells more.
`,
  commands: {
    "skip-lost": () => import("./skip-lost.ts").then(({ skipLost }) => skipLost),
  },
};
