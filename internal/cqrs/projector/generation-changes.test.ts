import { expect, it } from "vitest";
import {
  cancelBuild,
  dropPrevious,
  follow,
  forgetAbandoned,
  introduce,
  noteBuild,
  resumeBuild,
  rollBack,
  startBuild,
  stopBuild,
  switchToBuild,
} from "./generation-changes.ts";
import { GenerationsError, type ViewGenerations } from "./generations.ts";

const order = { version: 1, pace: 50, nowMs: 7 };
const stream = { id: "stream-1", topic: "orders.events.v1", partitions: 8 };
const fresh: ViewGenerations = {
  view: "orders",
  revision: 3,
  streams: [stream],
  live: { collection: "orders.v1", version: 1 },
  abandoned: [],
  builds: 0,
};
const building = startBuild(fresh, order);
const name = building.building?.collection ?? "";

it("a build begins beside the live generation, under a name of its own", () => {
  expect(building).toEqual({
    ...fresh,
    building: { collection: "orders.v1.b1", version: 1, state: "building", pace: 50, startedAtMs: 7, note: "" },
    builds: 1,
  });
  const next = startBuild(cancelBuild(building), order);
  expect(next).toMatchObject({ building: { collection: "orders.v1.b2" }, abandoned: ["orders.v1.b1"] });
});

it("a view follows one stream, with the partitions that it had", () => {
  expect(follow({ ...fresh, streams: [] }, stream).streams).toEqual([stream]);
  expect(follow(fresh, stream)).toBe(fresh);
  expect(() => follow(fresh, { ...stream, id: "stream-2" })).toThrow("headwater views reset");
  expect(() => follow(fresh, { ...stream, partitions: 12 })).toThrow("follows 8 partitions of orders.events.v1, and the log has 12");
});

it("a second build is refused while one is under way, and replaces one that failed", () => {
  expect(() => startBuild(building, order)).toThrow(GenerationsError);
  expect(() => startBuild(stopBuild(building), order)).toThrow("resume it or cancel it");
  const failed = noteBuild(building, name, { state: "failed", note: "why" });
  expect(startBuild(failed, order)).toMatchObject({ building: { state: "building", note: "" }, abandoned: [name] });
});

it("newer code builds its own generation, and older or equal code builds nothing", () => {
  expect(introduce(fresh, { ...order, version: 2 })).toMatchObject({
    building: { collection: "orders.v2.b1", version: 2 },
    live: fresh.live,
  });
  expect(introduce(fresh, order)).toBe(fresh);
  const ahead = { ...fresh, live: { collection: "orders.v3", version: 3 } };
  expect(introduce(ahead, order)).toBe(ahead);
});

it("newer code gives up the build of an older one, and leaves its own alone", () => {
  const own = introduce(building, { ...order, version: 2 });
  expect(own).toMatchObject({ building: { collection: "orders.v2.b2" }, abandoned: [name] });
  expect(introduce(own, { ...order, version: 2 })).toBe(own);
});

it("the first code of all writes down what is live", () => {
  const unwritten = { ...fresh, revision: 0 };
  const introduced = introduce(unwritten, order);
  expect(introduced).toEqual(unwritten);
  expect(introduced).not.toBe(unwritten);
});

it("a view that comes late is built beside one that shows nothing", () => {
  const late = introduce({ ...fresh, revision: 0 }, order, true);
  expect(late).toMatchObject({ live: { collection: "orders.v0", version: 0 }, building: { collection: "orders.v1.b1" } });
  expect(introduce(fresh, order, true)).toBe(fresh);
});

it("a switch makes the live generation the one to go back to, and gives the one before it up", () => {
  const once = switchToBuild(building, name);
  expect(once).toEqual({ ...fresh, live: { collection: name, version: 1 }, previous: fresh.live, builds: 1 });
  const again = startBuild(once, order);
  const twice = switchToBuild(again, again.building?.collection ?? "");
  expect(twice).toMatchObject({ live: { collection: "orders.v1.b2" }, previous: { collection: name }, abandoned: ["orders.v1"] });
  expect(forgetAbandoned(twice, ["orders.v1"]).abandoned).toEqual([]);
});

it("nothing is switched to that was stopped, given up or replaced meanwhile", () => {
  const stopped = stopBuild(building);
  const cancelled = cancelBuild(building);
  expect(switchToBuild(stopped, name)).toBe(stopped);
  expect(switchToBuild(cancelled, name)).toBe(cancelled);
  expect(switchToBuild(building, "orders.v1.b9")).toBe(building);
});

it("a build is stopped, and resumed at another pace", () => {
  const stopped = stopBuild(building);
  expect(stopped.building?.state).toBe("stopped");
  expect(stopBuild(stopped)).toBe(stopped);
  expect(noteBuild(stopped, name, { state: "verifying", note: "" })).toBe(stopped);
  expect(resumeBuild(stopped, 10).building).toMatchObject({ state: "building", pace: 10 });
  expect(resumeBuild(stopped, undefined).building).toMatchObject({ state: "building", pace: 50 });
});

it("going back exchanges the two, and going back again too", () => {
  const switched = switchToBuild(building, name);
  const back = rollBack(switched, 1);
  expect(back).toMatchObject({ live: fresh.live, previous: { collection: name } });
  expect(rollBack(back, 1)).toEqual(switched);
});

it.each([
  ["to go back where there is nothing", () => rollBack(fresh, 1), "no generation to go back to"],
  ["to go back to what this code cannot keep", () => rollBack(switchToBuild(building, name), 2), "deploy that version"],
  ["to drop what is not there", () => dropPrevious(fresh), "but the live one"],
  ["to stop what is not built", () => stopBuild(fresh), "not being built"],
  ["to resume what is not built", () => resumeBuild(fresh, undefined), "not being built"],
  ["to cancel what is not built", () => cancelBuild(fresh), "not being built"],
])("who wants %s is refused", (_what, change, message) => {
  expect(change).toThrow(GenerationsError);
  expect(change).toThrow(message);
});

it("the generation before can be given up", () => {
  const dropped = dropPrevious(switchToBuild(building, name));
  expect(dropped).not.toHaveProperty("previous");
  expect(dropped.abandoned).toEqual(["orders.v1"]);
});
