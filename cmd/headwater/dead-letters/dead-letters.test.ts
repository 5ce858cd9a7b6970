import { create, toBinary } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { CommandOutcomeSchema } from "../../../internal/gen/headwater/cqrs/v1/record_pb.ts";
import { DeadLetterAction, DeadLetterSchema } from "../../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { openOrderLog, orders, partitions } from "../../../test/support/order-runtime.ts";
import { describeLetter } from "./describe.ts";
import { findLetters, findOpenLetters } from "./find.ts";
import { loadLetters } from "./letters.ts";
import { lettersTable } from "./list.ts";
import { resolve } from "./resolve.ts";
import { attemptOf } from "./send-again.ts";

const topic = orders.topics.deadLetters.name;

async function withLetters(...keys: readonly string[]) {
  const log = await openOrderLog();
  const letters = keys.map((key, index) => {
    const letter = {
      topic: orders.topics.commands.name,
      partition: 1,
      offset: BigInt(index),
      key,
      value: Uint8Array.of(255),
      error: "bad",
    };
    return { topic, partition: 1, key, value: toBinary(DeadLetterSchema, create(DeadLetterSchema, letter)) };
  });
  await log.append(letters);
  return { log, letters };
}

it("a letter keeps its id, also when it lies there twice or in another log", async () => {
  const { log, letters } = await withLetters("a", "b");
  const found = await loadLetters(log, partitions);
  expect(found.map(({ content }) => content.key)).toEqual(["a", "b"]);
  await log.append(letters);
  expect(await loadLetters(log, partitions)).toEqual(found);
  const { log: other } = await withLetters("a", "b");
  expect((await loadLetters(other, partitions)).map(({ id }) => id)).toEqual(found.map(({ id }) => id));
});

it("the first resolution closes a letter, and tells who, when and why", async () => {
  const { log } = await withLetters("a", "b");
  const [letter] = await findOpenLetters(
    log,
    (await loadLetters(log, partitions)).slice(0, 1).map(({ id }) => id.slice(0, 8)),
  );
  if (letter === undefined) throw new Error("there is no letter");
  await resolve(log, letter, { action: DeadLetterAction.SKIPPED, actor: "ada", reason: "a test order" });
  await resolve(log, letter, { action: DeadLetterAction.RETRIED, actor: "bob", reason: "later", commandId: "c" });
  const [first, second] = (await loadLetters(log, partitions)).map(describeLetter);
  expect(first).toMatchObject({ state: "skipped", key: "a", resolution: { actor: "ada", reason: "a test order" } });
  expect(Date.parse(first?.resolution?.at ?? "")).not.toBeNaN();
  expect(second).toMatchObject({ state: "open", key: "b", command: "?" });
  await expect(findOpenLetters(log, [letter.id])).rejects.toThrow(`the dead letter ${letter.id} is closed`);
});

it("an id that is not there, or the beginning of several, is refused", async () => {
  const { log } = await withLetters(...Array.from({ length: 17 }, (_, index) => `order-${index}`));
  await expect(findLetters(log, ["zz"])).rejects.toThrow("there is no dead letter zz");
  const ids = (await loadLetters(log, partitions)).map(({ id }) => id[0] ?? "");
  const shared = ids.find((digit, index) => ids.indexOf(digit) !== index) ?? "";
  await expect(findLetters(log, [shared])).rejects.toThrow(`several dead letters begin with ${shared}`);
});

it("a table of letters tells their age, and of closed ones by whom and why", () => {
  const letter = {
    id: "1f",
    foundAt: "2026-01-01T00:00:00.000Z",
    key: "a",
    command: "?",
    error: "bad",
    topic: "t",
    partition: 0,
    offset: 1,
  };
  const closed = { ...letter, state: "skipped", resolution: { actor: "ada", at: "2026-01-01T00:00:00.000Z", reason: "a test" } } as const;
  const nowMs = Date.parse("2026-01-01T03:20:00.000Z");
  expect(lettersTable([{ ...letter, state: "open" }], nowMs)).toBe(
    "id  state  age  key  command  error\n1f  open   3 h  a    ?        bad\n",
  );
  expect(lettersTable([closed], nowMs)).toMatch(/^id .* by +why\n1f +skipped +3 h .* ada +a test\n$/);
});

it("the next attempt of a command has an id that shows the first one", () => {
  const outcome = (commandId: string, reason?: string) =>
    create(CommandOutcomeSchema, { commandId, ...(reason === undefined ? {} : { rejection: { reason } }) });
  const undecided = (commandId: string) => outcome(commandId, "COMMAND_NOT_DECODABLE");
  expect(attemptOf({ commandId: "c" }, [])).toEqual({ commandId: "c" });
  expect(attemptOf({ commandId: "c" }, [undecided("c")])).toEqual({ commandId: "c/retry-1" });
  expect(attemptOf({ commandId: "c/retry-1" }, [undecided("c"), undecided("c/retry-1")])).toEqual({ commandId: "c/retry-2" });
  expect(attemptOf({ commandId: "c" }, [undecided("c"), outcome("c/retry-1")])).toMatchObject({ commandId: "c/retry-1", outcome: {} });
  expect(attemptOf({ commandId: "c" }, [outcome("c", "ORDER_NOT_FOUND")])).toMatchObject({ commandId: "c", outcome: {} });
});
