import type { DocumentReader } from "../../cqrs/documents.ts";
import { loadDocument } from "../../cqrs/query/load-document.ts";
import { type NotFound, notFound } from "../../cqrs/query/query.ts";
import { writtenJustNow } from "../../cqrs/query/written-just-now.ts";
import type { CustomerSummary, GetCustomerSummaryRequest } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { customerSummary } from "../projection/customer-summary.ts";

getCustomerSummary.view = customerSummary;

export async function getCustomerSummary(
  documents: DocumentReader,
  { customerId }: GetCustomerSummaryRequest,
): Promise<{ readonly summary: CustomerSummary } | NotFound> {
  const summary = await loadDocument(documents, customerSummary, customerId);
  if (summary !== undefined) return { summary };
  return notFound("CUSTOMER_NOT_FOUND", `no order of a customer ${JSON.stringify(customerId)} is known; ${writtenJustNow}`);
}
