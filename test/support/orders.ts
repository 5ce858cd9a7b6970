/** A draft of two lines, ready to be placed, as a request of CreateOrder. */
export function newOrder(orderId: string) {
  return {
    orderId,
    currencyCode: "EUR",
    customerId: "ada",
    shippingAddress: { country: "Ireland" },
    lines: [
      { sku: "TEA", quantity: 2, unitPrice: { currencyCode: "EUR", minorUnits: 450n } },
      { sku: "CUP", quantity: 1, unitPrice: { currencyCode: "EUR", minorUnits: 1_250n } },
    ],
  };
}
