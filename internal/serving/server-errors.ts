/**
 * The domain, in google.rpc.ErrorInfo, of what a server says whatever it serves, such as that it has too many calls. What a
 * domain's services say has the domain's own.
 */
export const SERVER_ERRORS = "headwater";
