/** The commands that change how a view's generations stand, and that the projectors follow. */

import type { Projection } from "../../../internal/cqrs/projection.ts";
import { cancelBuild, dropPrevious, resumeBuild, rollBack, stopBuild } from "../../../internal/cqrs/projector/generation-changes.ts";
import { openCatalogue, type ViewGenerations } from "../../../internal/cqrs/projector/generations.ts";
import type { Options, ValuesOf } from "../../../internal/platform/config.ts";
import { systemOptions } from "../../../internal/process/options.ts";
import { command, jsonOption } from "../command.ts";
import { confirm, yesOption } from "../confirm.ts";
import { print } from "../printable.ts";
import { openSystem } from "../system/open.ts";
import { paceOption } from "./pace.ts";
import { viewNamed } from "./view.ts";

const options = { ...jsonOption, ...systemOptions };

export const stop = changing({
  name: "stop",
  about: "hold a rebuild",
  options,
  change: (entry) => stopBuild(entry),
  done: ({ view }) => `the rebuild of ${view} is held; headwater views resume ${view} lets it go on`,
});

export const resume = changing({
  name: "resume",
  about: "let a rebuild go on, also after it failed, or go on at another pace",
  options: { ...options, ...paceOption },
  change: (entry, _view, { pace }) => resumeBuild(entry, pace),
  done: ({ view }) => `the rebuild of ${view} goes on; headwater views rebuild ${view} shows how far it is`,
});

export const cancel = changing({
  name: "cancel",
  about: "give a rebuild up; what it has built is removed",
  options: { ...options, ...yesOption },
  question: (view) => `Give up the rebuild of ${view}?`,
  change: (entry) => cancelBuild(entry),
  done: ({ view, live }) => `the rebuild of ${view} is given up; ${live.collection} is read as before`,
});

export const rollback = changing({
  name: "rollback",
  about: "read the generation before again, which is kept up to date",
  options: { ...options, ...yesOption },
  question: (view) => `Read the generation of ${view} before the live one again?`,
  change: (entry, view) => rollBack(entry, view.version),
  done: ({ live, previous }) => `${live.collection} is read again; ${previous?.collection ?? "the other"} is kept up to date`,
});

export const drop = changing({
  name: "drop",
  about: "give the generation before up; then there is nothing to go back to, and less to keep up to date",
  options: { ...options, ...yesOption },
  question: (view) => `Remove the generation of ${view} before the live one?`,
  change: (entry) => dropPrevious(entry),
  done: ({ live }) => `${live.collection} is the only generation now`,
});

interface Changing<Declared extends typeof options & Options> {
  readonly name: string;
  readonly about: string;
  readonly options: Declared;
  /** To be answered first. */
  readonly question?: (view: string) => string;
  readonly change: (entry: ViewGenerations, view: Projection, values: ValuesOf<Declared>) => ViewGenerations;
  readonly done: (entry: ViewGenerations) => string;
}

function changing<Declared extends typeof options & Options>({
  name,
  about,
  options: declared,
  question,
  change,
  done,
}: Changing<Declared>) {
  return command({
    name: `views ${name}`,
    about,
    takes: "<view>",
    options: declared,
    async run({ values, positionals }) {
      const view = viewNamed(positionals);
      const yes = (values as { readonly yes?: boolean }).yes ?? false;
      if (question !== undefined && !(await confirm(question(view.name), { yes }))) return 1;
      const { json, ...system } = values as ValuesOf<typeof options>;
      await using opened = await openSystem(system);
      const entry = await openCatalogue(opened.documents).change(view, (before) => change(before, view, values));
      print(json ? `${JSON.stringify(entry, null, 2)}\n` : `${done(entry)}\n`);
      return 0;
    },
  });
}
