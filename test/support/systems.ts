/** The system in each of its two forms: what is promised is promised of both. */

import { startDevProcess } from "./dev-process.ts";
import { startKafka } from "./kafka-server.ts";
import { startMongo } from "./mongo-server.ts";
import { startSystem } from "./processes.ts";
import { kafka, mongo } from "./servers.ts";

export interface RunningSystem extends AsyncDisposable {
  readonly commandAddress: string;
  readonly queryAddress: string;
}

export interface SystemForm {
  readonly title: string;
  /** A server that it needs cannot be had here. */
  readonly isMissing: boolean;
  start(): Promise<RunningSystem>;
}

export const embedded: SystemForm = { title: "in one process", isMissing: false, start: () => startDevProcess() };

export const separate: SystemForm = {
  title: "on Kafka and MongoDB",
  isMissing: kafka === undefined || mongo === undefined,
  async start() {
    await using stack = new AsyncDisposableStack();
    const broker = stack.use(await startKafka());
    const { uri: mongoUri } = stack.use(await startMongo());
    const { commandAddress, queryAddress } = stack.use(await startSystem({ brokers: broker.brokers, mongoUri }));
    const owned = stack.move();
    return { commandAddress, queryAddress, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  },
};

export const systems: readonly SystemForm[] = [embedded, separate];
