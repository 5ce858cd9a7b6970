// The declarations of @connectrpc/connect name this type of the DOM; the types of Node have it only as a parameter. A consumer brings his own.
type HeadersInit = NonNullable<ConstructorParameters<typeof Headers>[0]>;
