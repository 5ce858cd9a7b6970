import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { OrderSchema } from "../../gen/headwater/orders/v1/order_pb.ts";
import { maxSearchWords, searchWords, searchWordsOf } from "./search-words.ts";

it.each<[stored: string, sought: string[]]>([
  ["Cafe\u0301", ["café", "CAFÉ", "cafe\u0301"]],
  ["İstanbul", ["istanbul", "ISTANBUL", "I\u0307stanbul"]],
  ["Isparta", ["ısparta"]],
  ["Straße", ["STRASSE", "strasse", "STRAẞE"]],
  ["ΟΔΟΣ.Α", ["οδος α", "ΟΔΟΣ", "οδοσ"]],
  ["½", ["1⁄2", "1/2", "½"]],
  ["ＬＡＭＰ４２", ["lamp42"]],
  ["ﬁne Ⅷ m²", ["FINE", "viii", "M2"]],
  ["co\u00adop na\u200dme 1\ufe0f", ["coop", "name", "1"]],
  ["ｶﾞﾗｽ", ["ガラス"]],
  ["東京都のランプ42型", ["東京", "京都", "都の", "ランプ", "42", "東京都"]],
  ["ﷺ", ["صلى", "الله"]],
])("%j is found by %j", (stored, sought) => {
  for (const text of sought) expect(searchWords(stored)).toEqual(expect.arrayContaining(searchWords(text)));
  for (const text of sought) expect(searchWords(text)).not.toEqual([]);
});

it.each(["", " ", "🎁", "***", "?!", "\0", "\u0301", "\ufe0f", "\u200d"])("%j has no word", (text) => {
  expect(searchWords(text)).toEqual([]);
});

it("every letter and digit of Unicode makes the same word in all its forms", () => {
  const letters = Array.from({ length: 0x110000 }, (_, code) => code)
    .filter((code) => code < 0xd800 || code > 0xdfff)
    .map((code) => String.fromCodePoint(code))
    .filter((character) => /[\p{L}\p{N}]/u.test(character));
  const wordOf = (text: string): string => searchWords(`x${text}`).join();
  const forms = [(text: string) => text.toLowerCase(), (text: string) => text.toUpperCase()].flatMap((cased) => [
    cased,
    ...["NFC", "NFD", "NFKC", "NFKD"].map((form) => (text: string) => cased(text).normalize(form)),
  ]);
  const wrong = letters.filter((letter) => {
    const others = new Set(forms.map((form) => form(letter))).difference(new Set([letter]));
    return others.size > 0 && [...others].some((other) => wordOf(other) !== wordOf(letter));
  });
  expect(wrong).toEqual([]);
});

it("an order has its first words, whatever its size", () => {
  const lines = Array.from({ length: 1000 }, (_, index) => ({ sku: `S${index}`, description: "東".repeat(256) }));
  const words = searchWordsOf(create(OrderSchema, { orderId: "o-1", lines }));
  expect(words).toHaveLength(maxSearchWords);
  expect(words.slice(0, 4)).toEqual(["o", "1", "s0", "s1"]);
});
