import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { projection } from "../../cqrs/projection.ts";
import { type OrderEvent, OrderEventSchema } from "../../gen/headwater/orders/v1/order_event_pb.ts";
import type { Line } from "../../gen/headwater/orders/v1/order_pb.ts";
import { ProductSalesSchema, type SalesTotals, SalesTotalsSchema } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { addSales, wasPlaced } from "./sales.ts";
import { remainingOf, salesIndexes } from "./sales-ranking.ts";

/** What was sold of each product, per currency. */
export const productSales = projection({
  name: "product-sales",
  version: 1,
  event: OrderEventSchema,
  document: ProductSalesSchema,
  indexes: salesIndexes("sku"),
  key: (event) => [...productsOf(event).keys()],
  on: {},
  always(document, { id, event }) {
    const product = productsOf(event).get(id);
    if (product === undefined) return document;
    const totals = document.totals === undefined ? product.sales : addSales(document.totals, product.sales);
    return create(ProductSalesSchema, { sku: product.sku, totals, ...remainingOf(totals) });
  },
});

interface Product {
  readonly sku: string;
  readonly sales: SalesTotals;
}

type Products = ReadonlyMap<string, Product>;
type Sums = MessageInitShape<typeof SalesTotalsSchema>;

const noProducts: Products = new Map();

/** An event of a thousand lines is folded into a thousand documents, each of which asks for its part. */
const known = new WeakMap<OrderEvent, Products>();

/** The event's part in the sums of each product, by the id of the product's document. */
function productsOf(event: OrderEvent): Products {
  const before = known.get(event);
  if (before !== undefined) return before;
  const products = readProducts(event);
  known.set(event, products);
  return products;
}

function readProducts({ event }: OrderEvent): Products {
  switch (event.case) {
    case "orderPlaced":
      return sumsOf(event.value.lines, { orderCount: 1n }, (quantity, amountMinorUnits) => ({ quantity, amountMinorUnits }));
    case "orderCancelled": {
      const { lines, previousStatus } = event.value;
      if (!wasPlaced(previousStatus)) return noProducts;
      return sumsOf(lines, { cancelledCount: 1n }, (cancelledQuantity, cancelledMinorUnits) => ({
        cancelledQuantity,
        cancelledMinorUnits,
      }));
    }
    case "itemsReturned":
      return sumsOf(event.value.returnedLines, {}, (returnedQuantity, returnedMinorUnits) => ({ returnedQuantity, returnedMinorUnits }));
    case "orderCreated":
    case "lineAdded":
    case "lineQuantityChanged":
    case "lineRemoved":
    case "shippingAddressSet":
    case "paymentRecorded":
    case "orderShipped":
    case "orderDelivered":
    case "orderRefunded":
    case undefined:
      return noProducts;
  }
}

/** `once` counts once per product, `each` for each of its lines. Without a currency there is no sum that a line could belong to. */
function sumsOf(lines: readonly Line[], once: Sums, each: (quantity: bigint, minorUnits: bigint) => Sums): Products {
  const products = new Map<string, Product>();
  for (const { sku, quantity, unitPrice } of lines) {
    if (unitPrice === undefined || unitPrice.currencyCode === "") continue;
    const { currencyCode, minorUnits } = unitPrice;
    const id = `${sku}/${currencyCode}`;
    const sums = create(SalesTotalsSchema, { currencyCode, ...each(BigInt(quantity), minorUnits * BigInt(quantity)) });
    const sales = products.get(id)?.sales ?? create(SalesTotalsSchema, { currencyCode, ...once });
    products.set(id, { sku, sales: addSales(sales, sums) });
  }
  return products;
}
