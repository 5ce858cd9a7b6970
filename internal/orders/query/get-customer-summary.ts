import type { DocumentReader } from "../../cqrs/documents.ts";
import type { CustomerSummary, GetCustomerSummaryRequest } from "../../gen/headwater/orders/v1/order_query_service_pb.ts";
import { customerSummary } from "../projection/customer-summary.ts";
import { loadDocument } from "./load-document.ts";

getCustomerSummary.view = customerSummary;

export function getCustomerSummary(
  documents: DocumentReader,
  { customerId }: GetCustomerSummaryRequest,
): Promise<CustomerSummary | undefined> {
  return loadDocument(documents, customerSummary, customerId);
}
