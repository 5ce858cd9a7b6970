import type { Order } from "../../gen/headwater/orders/v1/order_pb.ts";

/** Every word is an index entry, so an order of a thousand lines is found by its first words, which are those that identify it. */
export const maxSearchWords = 256;

/** The words an order is found by: of its id, customer, country, articles and descriptions. */
export function searchWordsOf(order: Order): string[] {
  const texts = [
    order.orderId,
    order.customerId,
    order.shippingAddress?.country ?? "",
    ...order.lines.map(({ sku }) => sku),
    ...order.lines.map(({ description }) => description),
  ];
  return searchWords(texts.join(" ")).slice(0, maxSearchWords);
}

/** The distinct words of a text: its letters and digits in lower case, split at everything else. */
export function searchWords(text: string): string[] {
  const words = text.toLowerCase().split(/[^\p{L}\p{M}\p{N}]+/u);
  return [...new Set(words)].filter((word) => word !== "");
}
