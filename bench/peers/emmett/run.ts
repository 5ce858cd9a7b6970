/**
 * Emmett in process: the project's own orders decided by its own rules, events and an order document in one SQLite transaction. Its argument
 * is an EmmettRun as JSON; it prints an EmmettResult.
 */

import { create, fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { isRejected } from "../../../internal/cqrs/aggregate.ts";
import type { Fields } from "../../../internal/cqrs/documents.ts";
import { EventMetadataSchema } from "../../../internal/gen/headwater/cqrs/v1/event_pb.ts";
import { OrderCommandSchema } from "../../../internal/gen/headwater/orders/v1/order_command_service_pb.ts";
import { OrderEventSchema } from "../../../internal/gen/headwater/orders/v1/order_event_pb.ts";
import type { OrderState } from "../../../internal/gen/headwater/orders/v1/order_state_pb.ts";
import { order } from "../../../internal/orders/domain/order.ts";
import { orders } from "../../../internal/orders/projection/order.ts";
import type { AnyOrderCommand } from "../../../test/support/order-domain.ts";
import type { Latency } from "../../measurement.ts";
import { commandsOf, orderId } from "../../orders.ts";
import { percentiles } from "../../statistics.ts";
import {
  DeciderCommandHandler,
  getSQLiteEventStore,
  type SQLiteConnectionPool,
  type SQLiteProjection,
  sqliteConnection,
} from "./emmett.ts";

export interface EmmettRun {
  readonly path: string;
  readonly callers: number;
  /** As shipped it opens a connection per operation; "shared" is one connection that operations take in turn. */
  readonly connection: "per operation" | "shared";
  readonly seconds: number;
}

export interface EmmettResult {
  readonly perSecond: number;
  readonly latency: Latency;
}

interface OrderEvent {
  readonly type: string;
  readonly data: JsonValue;
}

interface Versioned {
  readonly version: number;
  readonly order: OrderState;
}

const run = JSON.parse(process.argv[2] ?? "{}") as EmmettRun;
// The adapter prints what it does.
console.log = () => undefined;

const projection: SQLiteProjection<OrderEvent> = {
  canHandle: ["orderCreated", "lineAdded", "orderPlaced"],
  async init({ context: { connection } }) {
    await connection.command("CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, fields TEXT NOT NULL)");
  },
  async handle(events, { connection }) {
    for (const { data } of events) {
      const event = fromJson(OrderEventSchema, data);
      const id = event.metadata?.aggregateId ?? "";
      const row = await connection.querySingle<{ readonly fields: string }>("SELECT fields FROM orders WHERE id = ?", [id]);
      const before = row ? orders.decode(JSON.parse(row.fields) as Fields) : undefined;
      const fields = JSON.stringify(orders.encode(orders.fold(before, id, event)));
      await connection.command("INSERT INTO orders VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET fields = excluded.fields", [id, fields]);
    }
  },
};

const store = getSQLiteEventStore<OrderEvent>({
  fileName: run.path,
  pool: run.connection === "shared" ? sharedConnection(run.path) : undefined,
  projections: [{ type: "inline", projection }],
  schema: { autoMigration: "CreateOrUpdate" },
});
await store.schema.migrate();

const handle = DeciderCommandHandler<Versioned, AnyOrderCommand, OrderEvent>({
  initialState: () => ({ version: 0, order: order.initial() }),
  evolve: ({ version, order: state }, { data }) => ({ version: version + 1, order: order.evolve(state, fromJson(OrderEventSchema, data)) }),
  decide,
});
process.stdout.write(`${JSON.stringify(await measure())}\n`);
process.exit();

async function measure(): Promise<EmmettResult> {
  const latenciesMs: number[] = [];
  const startedMs = performance.now();
  const endMs = startedMs + run.seconds * 1000;
  let next = 0;
  const caller = async (): Promise<void> => {
    while (performance.now() < endMs) {
      const number = next++;
      for (const command of commandsOf("order", number)) {
        const sentMs = performance.now();
        await handle(store, orderId("order", number), command);
        latenciesMs.push(performance.now() - sentMs);
      }
    }
  };
  await Promise.all(Array.from({ length: run.callers }, caller));
  const seconds = (performance.now() - startedMs) / 1000;
  return { perSecond: latenciesMs.length / seconds, latency: percentiles(Float64Array.from(latenciesMs)) };
}

function decide(command: AnyOrderCommand, { version, order: state }: Versioned): OrderEvent[] {
  const commandId = command.value.options?.commandId ?? "";
  const aggregateId = command.value.orderId;
  const now = timestampNow();
  const decision = order.decide(state, create(OrderCommandSchema, { command }), { aggregateId, commandId, occurredAt: new Date() });
  if (isRejected(decision)) throw new Error(decision.reason);
  return decision.map((facts, index) => {
    const place = { version: version + index + 1, eventId: `${aggregateId}/${version + index + 1}`, schemaVersion: 2 };
    const metadata = create(EventMetadataSchema, { ...place, aggregateId, commandId, occurredAt: now, recordedAt: now, actor: "bench" });
    return { type: facts.case, data: toJson(OrderEventSchema, order.happen(state, facts, metadata).event) };
  });
}

function sharedConnection(fileName: string): SQLiteConnectionPool {
  const connection = sqliteConnection({ fileName });
  let last: Promise<unknown> = Promise.resolve();
  return {
    connection: async () => connection,
    withConnection(use) {
      const result = last.then(() => use(connection));
      last = result.catch(() => undefined);
      return result;
    },
    close: async () => undefined,
  };
}
