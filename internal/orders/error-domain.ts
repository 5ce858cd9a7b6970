/** The domain of all reasons in google.rpc.ErrorInfo; part of the contract. */
export const errorDomain = "orders.headwater";
