/** What is used of Emmett, with its types written out: it is installed only when it is measured, and everything must compile without it. */

import { createRequire } from "node:module";

interface Decider<State, Command, Event> {
  readonly initialState: () => State;
  readonly evolve: (state: State, event: Event) => State;
  readonly decide: (command: Command, state: State) => Event | Event[];
}

interface SQLiteConnection {
  command(sql: string, values?: readonly unknown[]): Promise<unknown>;
  querySingle<Row>(sql: string, values?: readonly unknown[]): Promise<Row | null | undefined>;
}

export interface SQLiteConnectionPool {
  connection(): Promise<SQLiteConnection>;
  withConnection<Result>(use: (connection: SQLiteConnection) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

export interface SQLiteProjection<Event> {
  readonly canHandle: readonly string[];
  readonly init: (options: { readonly context: { readonly connection: SQLiteConnection } }) => Promise<void>;
  readonly handle: (events: readonly Event[], context: { readonly connection: SQLiteConnection }) => Promise<void>;
}

interface SQLiteEventStore {
  readonly schema: { migrate(): Promise<void> };
}

interface SQLiteEventStoreOptions<Event> {
  readonly fileName: string;
  readonly pool?: SQLiteConnectionPool | undefined;
  readonly projections: readonly { readonly type: "inline"; readonly projection: SQLiteProjection<Event> }[];
  readonly schema: { readonly autoMigration: "CreateOrUpdate" };
}

interface Emmett {
  DeciderCommandHandler<State, Command, Event>(
    decider: Decider<State, Command, Event>,
  ): (store: SQLiteEventStore, streamName: string, command: Command) => Promise<unknown>;
}

interface EmmettSQLite {
  sqliteConnection(options: { readonly fileName: string }): SQLiteConnection;
  getSQLiteEventStore<Event>(options: SQLiteEventStoreOptions<Event>): SQLiteEventStore;
}

const require = createRequire(import.meta.url);

export const { DeciderCommandHandler } = require("@event-driven-io/emmett") as Emmett;
export const { getSQLiteEventStore, sqliteConnection } = require("@event-driven-io/emmett-sqlite") as EmmettSQLite;
