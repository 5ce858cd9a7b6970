import { DEFAULT_PACE } from "../../../internal/cqrs/projector/generation-changes.ts";
import { flagOnly, integer } from "../../../internal/platform/config.ts";

/** How fast a view is built. */
export const paceOption = {
  pace: flagOnly(integer("percent of its time that a rebuild works; the rest it leaves to the others", 1, 100, DEFAULT_PACE)),
};
