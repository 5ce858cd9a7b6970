/** What the projector promises of every document store: each view is the fold of its events, whatever happens to those who build it (P6). */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type OrderHistory, orderHistories, recordOf, shortHistory } from "../../../test/support/order-histories.ts";
import { newOrderLog, orders, startProjector } from "../../../test/support/order-runtime.ts";
import { type Documents, DocumentsSetBackError } from "../documents.ts";
import type { Log } from "../log.ts";
import type { Projection } from "../projection.ts";
import { GapError } from "../projector/gap.ts";
import { resetViews } from "../projector/reset-views.ts";
import { RefusedDocumentsError, startFreshness } from "../query/freshness.ts";
import { checkpointAt } from "./positions.ts";
import {
  atEarlierCheckpoints,
  type Death,
  inAnotherGroup,
  inBatches,
  project,
  savedViews,
  startRebuild,
  untilProjected,
  untilRebuilt,
  withOtherTimes,
  without,
} from "./projector-suite-support.ts";
import { expectFolds, expectPrefixes, storedViews } from "./view-checker.ts";

/** An empty store of the views. */
export interface ViewsUnderTest extends AsyncDisposable {
  readonly documents: Documents;
  empty(): Promise<void>;
}

/** Enough for documents that several partitions write. */
const PARTITIONS = 2;

/** One for each projector of many. */
const MANY_PARTITIONS = 6;

const RUNS = 10;

/** Each takes a second or two: who decides that a build is complete looks twice a second. */
const REBUILDS = 3;

/** A slow machine tries fewer histories, and a failure is shrunk for so long at most. */
const TIME_LIMIT_MS = 30_000;

/** What tries everything tries it on a slow machine too. */
const EXHAUSTIVE_MS = 300_000;

const batches = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 4 });
const death: fc.Arbitrary<Death> = fc.record({ afterWrites: fc.nat({ max: 150 }), order: fc.nat() });
const deaths = fc.array(death, { minLength: 1, maxLength: 3 });

/** Runs the suite on a document store. */
export function describeProjector(name: string, open: () => Promise<ViewsUnderTest>): void {
  describe(name, () => {
    let views: ViewsUnderTest;
    beforeAll(async () => {
      views = await open();
    });
    afterAll(() => views[Symbol.asyncDispose]());
    const given: Given = async (history, run, partitions = PARTITIONS) => {
      await using log = await newOrderLog(partitions);
      await log.append(history.logged.map(recordOf));
      const empty = async () => {
        await views.empty();
        return views.documents;
      };
      await run({ log, documents: await empty(), history, empty });
    };
    describeFolds(given);
    describeDeaths(given);
    describeRebuilds(given);
    describeRefusals(given);
    describeSetBacks(given);
  });
}

interface Situation {
  readonly log: Log;
  readonly documents: Documents;
  readonly history: OrderHistory;
  /** Forgets all documents. */
  empty(): Promise<Documents>;
}

/** Runs with a history in a log of its own, and no documents. */
type Given = (history: OrderHistory, run: (situation: Situation) => Promise<void>, partitions?: number) => Promise<void>;

/** Holds whatever the history and the circumstances. A failure prints the seed. */
function always<Circumstances>(
  given: Given,
  circumstances: fc.Arbitrary<Circumstances>,
  run: (situation: Situation, circumstances: Circumstances) => Promise<void>,
): Promise<void> {
  return assertFor(RUNS, fc.tuple(orderHistories(PARTITIONS), circumstances), ([history, drawn]) =>
    given(history, (situation) => run(situation, drawn)),
  );
}

/** Nothing is begun when the time is up, and what was begun is finished: otherwise it would go on in the next test's store. */
function assertFor<Drawn>(numRuns: number, arbitrary: fc.Arbitrary<Drawn>, run: (drawn: Drawn) => Promise<void>): Promise<void> {
  const endsAtMs = performance.now() + TIME_LIMIT_MS;
  const property = fc.asyncProperty(arbitrary, async (drawn) => {
    if (performance.now() < endsAtMs) await run(drawn);
  });
  return fc.assert(property, { numRuns });
}

function describeFolds(given: Given): void {
  it("every view is the fold of its events, however they are cut into batches", async () => {
    await always(given, batches, async ({ log, documents, history }, sizes) => {
      await project(inBatches(log, sizes), documents);
      await expectFolds(documents, log, history);
    });
  });

  it("events that are delivered again from any earlier checkpoint change nothing", async () => {
    const places = fc.array(fc.nat(), { minLength: PARTITIONS * orders.views.length, maxLength: PARTITIONS * orders.views.length });
    await always(given, fc.tuple(places, batches), async ({ log, documents, history }, [offsets, sizes]) => {
      await project(log, documents);
      const before = await storedViews(documents);
      await project(inBatches(log, sizes), await atEarlierCheckpoints(documents, log, offsets));
      expect(await storedViews(documents)).toEqual(before);
      await expectFolds(documents, log, history);
    });
  });

  it("two projectors that both believe to own every partition do no harm", async () => {
    await always(given, fc.tuple(batches, batches), async ({ log, documents, history }, [one, other]) => {
      await Promise.all([project(inBatches(log, one), documents), project(inAnotherGroup(inBatches(log, other)), documents)]);
      await expectFolds(documents, log, history);
    });
  });

  it("a projector for each partition, all of them at once, share the documents of all", async () => {
    const share = async ({ log, documents, history }: Situation): Promise<void> => {
      const projectors = Array.from({ length: MANY_PARTITIONS }, (_, index) => project(log, documents, { instance: `projector-${index}` }));
      await Promise.all(projectors);
      await expectFolds(documents, log, history);
    };
    await assertFor(RUNS, orderHistories(MANY_PARTITIONS), (history) => given(history, share, MANY_PARTITIONS));
  });

  it("a document that is not the fold of its events would be found", async () => {
    await given(shortHistory(PARTITIONS), async ({ log, documents, history }) => {
      await project(log, documents);
      await expectFolds(documents, log, history);
      const collection = orders.views[0]?.collection.name ?? "";
      const { documents: found } = await documents.find({ collection, where: [], sort: [], limit: 1 });
      const writes = found.map(({ revision, ...document }) => ({ ...document, collection, expectedRevision: revision }));
      await documents.write(
        writes.map((write) => ({ ...write, fields: { ...write.fields, version: 77 } })),
        [],
      );
      await expect(expectFolds(documents, log, history)).rejects.toThrow("deeply equal");
      await expect(expectPrefixes(documents, log, history)).rejects.toThrow("deeply equal");
    });
  });

  it("a view that has an event too many, or one too few, would be found", async () => {
    const whole = shortHistory(PARTITIONS);
    const shorter = { events: whole.events.slice(0, -1), logged: whole.events.slice(0, -1) };
    await given(whole, async ({ log, documents }) => {
      await project(log, documents);
      await expect(expectFolds(documents, log, shorter)).rejects.toThrow("deeply equal");
      await expect(expectPrefixes(documents, log, shorter)).rejects.toThrow("deeply equal");
    });
    await given(shorter, async ({ log, documents }) => {
      await project(log, documents);
      await expectPrefixes(documents, log, whole);
      await expect(expectFolds(documents, log, whole)).rejects.toThrow("deeply equal");
    });
  });
}

function describeDeaths(given: Given): void {
  it("a projector that dies after any of its writes is continued by the next", { timeout: EXHAUSTIVE_MS }, async () => {
    await given(shortHistory(PARTITIONS), async ({ log, documents: first, history, empty }) => {
      const { writes } = await project(log, first);
      expect(writes).toBeGreaterThan(history.events.length);
      for (let afterWrites = 0; afterWrites < writes; afterWrites += 1) {
        const documents = await empty();
        expect(await project(log, documents, { afterWrites, order: afterWrites })).toEqual({ died: true, writes: afterWrites });
        await expectPrefixes(documents, log, history);
        await project(log, documents);
        await expectFolds(documents, log, history);
      }
    });
  });

  it("projectors that die again and again at any point, after any part of a batch, are continued by the next", async () => {
    await always(given, fc.tuple(deaths, batches), async ({ log, documents, history }, [all, sizes]) => {
      for (const each of all) {
        await project(inBatches(log, sizes), documents, each);
        await expectPrefixes(documents, log, history);
      }
      await project(inBatches(log, sizes), documents);
      await expectFolds(documents, log, history);
    });
  });

  it("two projectors at once that die again and again are continued by the next two", async () => {
    await always(given, fc.tuple(deaths, deaths, batches), async ({ log, documents, history }, [one, other, sizes]) => {
      const projectAll = async (own: Log, all: readonly Death[]) => {
        for (const each of all) await project(own, documents, each);
        await project(own, documents);
      };
      await Promise.all([projectAll(inBatches(log, sizes), one), projectAll(inAnotherGroup(log), other)]);
      await expectFolds(documents, log, history);
    });
  });
}

function describeRebuilds(given: Given): void {
  it("a view that is rebuilt while events come, by projectors that die meanwhile, is the fold of all of them", async () => {
    const drawn = fc.tuple(deaths, batches, fc.nat(), fc.nat());
    await assertFor(REBUILDS, fc.tuple(orderHistories(PARTITIONS), drawn), async ([history, [all, sizes, place, cut]]) => {
      const { logged } = history;
      const first = logged.slice(0, cut % logged.length);
      await given({ ...history, logged: first }, async ({ log, documents }) => {
        await project(inBatches(log, sizes), documents);
        const build = await startRebuild(documents, orders.views[place % orders.views.length]);
        for (const each of all) await project(inBatches(log, sizes), documents, each);
        await Promise.all([log.append(logged.slice(first.length).map(recordOf)), untilRebuilt(log, documents, build)]);
        await project(log, documents);
        await expectFolds(
          documents,
          log,
          history,
          orders.views.map((view) => (view.name === build.name ? build : view)),
        );
        // The one before is kept up to date, to be gone back to.
        await expectFolds(documents, log, history);
      });
    });
  });
}

function describeSetBacks(given: Given): void {
  type SetBack = (documents: Documents, restore: () => Promise<void>) => Promise<unknown>;
  it.each<[what: string, setBack: SetBack]>([
    ["removed", (documents) => resetViews(documents, orders.views)],
    ["replaced by an older backup", (_documents, restore) => restore()],
  ])("documents that are %s under a running projector end it, and the next goes on from what is there", async (_what, setBack) => {
    const { events } = shortHistory(PARTITIONS);
    const [backup, before] = [events.slice(0, 2), events.slice(0, -2)];
    await given({ events, logged: backup }, async ({ log, documents, history }) => {
      await project(log, documents);
      const restore = await savedViews(documents);
      await log.append(before.slice(backup.length).map(recordOf));
      const projector = startProjector(log, documents);
      await untilProjected(log, documents, new AbortController().signal);
      await setBack(documents, restore);
      await log.append(events.slice(before.length).map(recordOf));
      await expect(projector.stopped).rejects.toThrow(DocumentsSetBackError);
      await project(log, documents);
      await expectFolds(documents, log, history);
    });
  });

  it("documents that are removed while a batch is written are built again from the first event", async () => {
    await given(shortHistory(PARTITIONS), async ({ log, documents, history }) => {
      const { name } = (orders.views[0] as Projection).collection;
      let batchesOfView = 0;
      const write: Documents["write"] = async (writes, checkpoints) => {
        // Whatever was loaded for it is gone when it is written.
        if (writes.some(({ collection }) => collection === name) && ++batchesOfView === 2) await resetViews(documents, orders.views);
        return documents.write(writes, checkpoints);
      };
      await expect(project(log, { ...documents, write })).rejects.toThrow(DocumentsSetBackError);
      await project(log, documents);
      await expectFolds(documents, log, history);
    });
  });
}

function describeRefusals(given: Given): void {
  it("a gap in the events stops the projector before anything of the batch is applied", async () => {
    await given(shortHistory(PARTITIONS), async ({ log, documents, history }) => {
      await expect(startProjector(without(log, 1), documents).stopped).rejects.toThrow(GapError);
      expect((await storedViews(documents)).flatMap(({ stored }) => stored)).toEqual([]);
      await project(log, documents);
      await expectFolds(documents, log, history);
    });
  });

  it("a log that was set back and has gone on otherwise is refused, whether it has come as far as the documents or farther", async () => {
    const history = shortHistory(PARTITIONS);
    await given({ ...history, logged: history.events.slice(0, -2) }, async ({ log, documents }) => {
      await project(log, documents);
      for (const length of [history.events.length - 2, history.events.length]) {
        // The same events as to their ids, their sequences and their offsets, but decided at another time.
        await using redone = await newOrderLog(PARTITIONS);
        await redone.append(history.events.slice(0, length).map(recordOf));
        const restored = { ...redone, topicId: (topic: string) => log.topicId(topic) };
        await expect(startProjector(restored, documents).stopped).rejects.toThrow(/has another record at offset \d+ than the views/);
      }
      const [view] = orders.views as [Projection];
      const { name } = view.collection;
      await using freshness = await startFreshness({ documents, views: orders.views });
      await expect(freshness.documents.load(name, ["order-0"])).rejects.toThrow(RefusedDocumentsError);
      expect(() => freshness.collection(view)).toThrow("headwater views reset");
      expect(() => freshness.stream(view)).toThrow(RefusedDocumentsError);
      // With the log as it was, the proofs hold again.
      await using _projector = startProjector(log, documents);
      await expect
        .poll(() => freshness.documents.load(name, ["order-0"]).catch(String), { timeout: 30_000 })
        .toMatchObject([{ id: "order-0" }]);
    });
  });

  it("documents of another history of the log are refused to those who read until they are removed", async () => {
    await given(shortHistory(PARTITIONS), async ({ log, documents }) => {
      await project(log, documents);
      const changed = withOtherTimes(log);
      changed.change();
      await expect(startProjector(changed.log, documents).stopped).rejects.toThrow(GapError);
      await using before = await startFreshness({ documents, views: orders.views });
      const [view] = orders.views as [Projection];
      expect(() => before.collection(view)).toThrow(RefusedDocumentsError);
      await resetViews(documents, orders.views);
      await using after = await startFreshness({ documents, views: orders.views });
      expect(after.collection(view)).toBe(view.collection.name);
    });
  });

  it("a log that loses its end under a running projector, and goes on otherwise, is noticed at the first sequence that comes again", async () => {
    const { events } = shortHistory(PARTITIONS);
    const [first] = events;
    if (first === undefined) throw new Error("there is no event");
    await given({ events, logged: [...events, first] }, async ({ log, documents }) => {
      // What comes again is as it was: it was appended twice.
      await project(log, documents);
      await expectFolds(documents, log, { events, logged: events });
    });
    await given({ events, logged: events }, async ({ log, documents }) => {
      const changed = withOtherTimes(log);
      const projector = startProjector(changed.log, documents);
      await untilProjected(log, documents, new AbortController().signal);
      changed.change();
      await log.append([recordOf(first)]);
      await expect(projector.stopped).rejects.toThrow(GapError);
    });
  });

  it("documents that have come to another stream are refused", async () => {
    await given(shortHistory(PARTITIONS), async ({ log, documents }) => {
      const [view] = orders.views;
      if (view === undefined) throw new Error("there is no view");
      await documents.prepare([view.collection]);
      await documents.write([], [checkpointAt(view, 0, 3)]);
      await expect(startProjector(log, documents).stopped).rejects.toThrow("headwater views reset");
    });
  });

  it("views are refused that follow another stream, or another number of partitions", async () => {
    await given(shortHistory(PARTITIONS), async ({ log, documents, history, empty }) => {
      await project(log, documents);
      await using other = await newOrderLog(PARTITIONS);
      await expect(startProjector(other, documents).stopped).rejects.toThrow("headwater views reset");
      await expect(startProjector({ ...log, partitions: PARTITIONS + 1 }, documents).stopped).rejects.toThrow(
        "partitions must not be added",
      );
      const emptied = await empty();
      await project(log, emptied);
      await expectFolds(emptied, log, history);
    });
  });
}
