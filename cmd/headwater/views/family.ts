import type { CommandFamily } from "../command.ts";

export const views: CommandFamily = {
  help: `headwater views: the views of the query side, and their generations

Usage: headwater views <command> [options]

A view is rebuilt beside the generation that is read. When it has caught up, a part of it is verified, and then it is read, with no pause. The
generation before is kept up to date, to go back to.

Commands:
  list       the views and their generations
  rebuild    build a view anew, and read it when it is complete
  stop       hold a rebuild
  resume     let it go on, also after it failed
  cancel     give it up
  rollback   read the generation before again
  drop       give the generation before up
  verify     compare documents with a fold of their events
  reset      remove all documents, to build all views from the first event

headwater views <command> --help tells more.
`,
  commands: {
    list: () => import("./list.ts").then(({ list }) => list),
    rebuild: () => import("./rebuild.ts").then(({ rebuild }) => rebuild),
    stop: () => import("./change.ts").then(({ stop }) => stop),
    resume: () => import("./change.ts").then(({ resume }) => resume),
    cancel: () => import("./change.ts").then(({ cancel }) => cancel),
    rollback: () => import("./change.ts").then(({ rollback }) => rollback),
    drop: () => import("./change.ts").then(({ drop }) => drop),
    verify: () => import("./verify.ts").then(({ verify }) => verify),
    reset: () => import("./reset.ts").then(({ reset }) => reset),
  },
};
