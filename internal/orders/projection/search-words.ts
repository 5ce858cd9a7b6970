/** The words that orders are found by: the same function makes them of an order's texts and of what somebody looks for. */

import type { Order } from "../../gen/headwater/orders/v1/order_pb.ts";

/** Every word is an index entry, so an order of a thousand lines is found by its first words, which are those that identify it. */
export const maxSearchWords = 256;

/** The words an order is found by: of its id, customer, country, articles and descriptions. */
export function searchWordsOf(order: Order): string[] {
  const found = new Set<string>();
  for (const text of textsOf(order)) {
    for (const word of wordsOf(text)) {
      found.add(word);
      if (found.size === maxSearchWords) return [...found];
    }
  }
  return [...found];
}

/** The distinct words of a text. */
export function searchWords(text: string): string[] {
  return [...new Set(wordsOf(text))];
}

function* textsOf(order: Order): Generator<string> {
  yield order.orderId;
  yield order.customerId;
  yield order.shippingAddress?.country ?? "";
  for (const { sku } of order.lines) yield sku;
  for (const { description } of order.lines) yield description;
}

/**
 * Runs of letters and digits. Chinese and Japanese are written without spaces between words: there every two neighbours are a word, and one
 * character is where it stands alone.
 */
function wordsOf(text: string): readonly string[] {
  if (asciiOnly.test(text)) return text.toLowerCase().match(asciiWord) ?? [];
  const runs = folded(text).match(anyWord) ?? [];
  return runs.filter((run) => letterOrDigit.test(run)).flatMap((run) => run.split(unspaced).flatMap(pairsInUnspaced));
}

const asciiOnly = /^[\0-\x7f]*$/;
const asciiWord = /[a-z0-9]+/g;
const anyWord = /[\p{L}\p{M}\p{N}]+/gu;
const letterOrDigit = /[\p{L}\p{N}]/u;
const unspaced = /([\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}]+)/u;

/** What `unspaced` has split: every other part is in such a script. */
function pairsInUnspaced(part: string, index: number): readonly string[] {
  if (part === "") return [];
  const characters = Array.from(part);
  if (index % 2 === 0 || characters.length === 1) return [part];
  return characters.slice(1).map((character, before) => `${characters[before]}${character}`);
}

/** One form of what can be written in several (Unicode's NFKC and full case folding, without what is not to be seen). */
function folded(text: string): string {
  const once = caseFolded(text.replace(invisible, "").normalize("NFKC"));
  return caseFolded(once.normalize("NFKC")).normalize("NFKC");
}

const invisible = /\p{Default_Ignorable_Code_Point}/gu;

/** "ß" becomes "SS" in capitals, but "ẞ" only by way of small letters. A sigma is the same at a word's end, and an "i" with a dot an "i". */
function caseFolded(text: string): string {
  return text.toLowerCase().toUpperCase().toLowerCase().replaceAll("ς", "σ").replaceAll("i\u0307", "i");
}
