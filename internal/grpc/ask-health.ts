/** Asks a server by grpc.health.v1 how it is. */

import { ChannelCredentials, Client } from "@grpc/grpc-js";
import { service as healthService } from "grpc-health-check";

const { Check: check } = healthService;

export interface HealthQuestion {
  /** Full name of one of the server's services; absent: the server as a whole. */
  readonly service?: string;
  readonly timeoutMs: number;
}

/** A connection that is kept for the next question. */
export interface HealthProbe extends Disposable {
  /** The status, such as SERVING; or why there is none. */
  ask(question: HealthQuestion): Promise<string>;
}

/** Of host:port; with TLS only if told so. */
export function createHealthProbe(address: string, { tls = false } = {}): HealthProbe {
  if (check === undefined) throw new TypeError("grpc-health-check has no Check");
  const { path, requestSerialize, responseDeserialize } = check;
  const credentials = tls ? ChannelCredentials.createSsl() : ChannelCredentials.createInsecure();
  // The services are reached without a proxy, and so is their health.
  const client = new Client(address, credentials, { "grpc.enable_http_proxy": 0 });
  return {
    ask: ({ service = "", timeoutMs }) =>
      new Promise((resolve) => {
        const options = { deadline: Date.now() + timeoutMs };
        client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { service }, options, (error, answer) => {
          // The answer is a HealthCheckResponse as its loader gives it: the status by its name.
          resolve(error === null ? (answer as { readonly status: string }).status : error.details);
        });
      }),
    [Symbol.dispose]: () => client.close(),
  };
}
