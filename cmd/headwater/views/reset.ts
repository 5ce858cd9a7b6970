import { projectorGroup } from "../../../internal/cqrs/projector/projector.ts";
import { resetViews } from "../../../internal/cqrs/projector/reset-views.ts";
import { orderViews } from "../../../internal/orders/projection/views.ts";
import { systemOptions } from "../../../internal/process/options.ts";
import { command, jsonOption } from "../command.ts";
import { confirm, yesOption } from "../confirm.ts";
import { orderGroups } from "../domain.ts";
import { print } from "../printable.ts";
import { openSystem } from "../system/open.ts";

export const reset = command({
  name: "views reset",
  about: "remove all documents, to build all views from the first event, while no projector runs",
  details: `For documents that are not those of the log: it was restored to an older moment, its topics were created again, or its events were moved.
Stop the projectors first, and start them afterwards. Until the views are built, queries show what is there so far, and those with a token say
NOT_YET_VISIBLE.`,
  options: { ...yesOption, ...jsonOption, ...systemOptions },
  async run({ values: { yes, json, ...values } }) {
    if (!(await confirm("Remove the documents of all views?", { yes }))) return 1;
    await using system = await openSystem(values);
    const [projector] = await system.log.members(projectorGroup({ group: orderGroups.projector, views: orderViews }));
    if (projector !== undefined) {
      throw new Error(`the projector ${projector.instance} is running: stop all projectors (embedded: headwater dev) first`);
    }
    const removed = await resetViews(system.documents, orderViews);
    print(json ? `${JSON.stringify(removed, null, 2)}\n` : "all documents are removed; start the projectors to build them\n");
    return 0;
  },
});
