/** What a load of documents by id may hold, whatever is asked for. */

import fc from "fast-check";
import { expect, it } from "vitest";
import { loadAll, loadPieces } from "../documents.ts";
import { type Context, created, orders, write } from "./documents-contract-support.ts";

/** Loads in bytes. */
export function describeLoading({ documents }: Context) {
  it("a load has the documents of the first ids that hold no more than so many bytes, or a single one", async () => {
    const ids = ["a", "b", "c", "d", "€", "\u{1F381}"];
    await write(
      documents(),
      ids.filter((id) => id !== "b").map((id) => created(id, { text: "€".repeat(1_000) })),
    );
    const loaded = async (...args: readonly [asked: readonly string[], maxBytes?: number]) =>
      (await documents().load(orders.name, ...args)).map((document) => document?.id);
    expect(await loaded(ids, 8_000)).toEqual(["a", undefined, "c"]);
    expect(await loaded(ids, 1)).toEqual(["a", undefined]);
    expect(await loaded(["b", "a"], 1)).toEqual([undefined, "a"]);
    expect(await loaded(["missing"], 1)).toEqual([undefined]);
    expect(await loaded(ids)).toEqual(ids.map((id) => (id === "b" ? undefined : id)));
    const anyIds = fc.shuffledSubarray([...ids, "0", "aa"], { minLength: 1 });
    await fc.assert(
      fc.asyncProperty(anyIds, fc.integer({ min: 1, max: 20_000 }), async (asked, maxBytes) => {
        const found = await loaded(asked, maxBytes);
        expect(found.length).toBeGreaterThan(0);
        expect(found).toEqual(asked.slice(0, found.length).map((id) => (id !== "b" && ids.includes(id) ? id : undefined)));
        expect(found.filter((id) => id !== undefined).length).toBeLessThanOrEqual(Math.max(1, Math.floor(maxBytes / 3_000)));
      }),
      { numRuns: 60 },
    );
  });

  it("pieces have all documents, each as much as a client takes", async () => {
    const ids = ["e", "a", "b", "c", "missing", "d"];
    await write(
      documents(),
      ids.filter((id) => id !== "missing").map((id) => created(id, { text: "€".repeat(400_000) })),
    );
    const pieces = await Array.fromAsync(loadPieces(documents(), orders.name, ids));
    expect(pieces.map((piece) => piece.ids)).toEqual([
      ["a", "b"],
      ["c", "d"],
      ["e", "missing"],
    ]);
    expect(pieces.flatMap((piece) => piece.documents).map((document) => document?.id)).toEqual(["a", "b", "c", "d", "e", undefined]);
    expect((await loadAll(documents(), orders.name, ids)).map((document) => document?.id)).toEqual(["e", "a", "b", "c", undefined, "d"]);
  });
}
