/** What a server says of its health, asked as a probe of a cluster asks. */

import { ChannelCredentials, Client } from "@grpc/grpc-js";
import { service } from "grpc-health-check";

const DEADLINE_MS = 5_000;

/** The status of the whole server, or of one of its services; what went wrong if it does not answer. */
export async function healthOf(address: string, name = ""): Promise<string> {
  using client = Object.assign(new Client(address, ChannelCredentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 }), {
    [Symbol.dispose]() {
      client.close();
    },
  });
  const check = service["Check"];
  if (check === undefined) throw new TypeError("the health service has no Check");
  const { path, requestSerialize, responseDeserialize } = check;
  return await new Promise((resolve) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      { service: name },
      { deadline: Date.now() + DEADLINE_MS },
      (error, answer) => resolve(error === null ? (answer as { status: string }).status : error.message),
    );
  });
}
