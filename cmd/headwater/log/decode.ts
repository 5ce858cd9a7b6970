/** What the records of the log say, as they were written. */

import { fromBinary, type JsonValue, toJson } from "@bufbuild/protobuf";
import { pageOfKey } from "../../../internal/cqrs/command/outcomes.ts";
import { POSITION_KEY } from "../../../internal/cqrs/command/take-over.ts";
import {
  AggregateSnapshotSchema,
  DeadLetterSchema,
  OutcomePageSchema,
  PartitionPositionSchema,
} from "../../../internal/gen/headwater/cqrs/v1/state_pb.ts";
import { OrderCommandRecordSchema } from "../../../internal/gen/headwater/orders/v1/order_command_record_pb.ts";
import { OrderEventSchema } from "../../../internal/gen/headwater/orders/v1/order_event_pb.ts";
import { OrderStateSchema } from "../../../internal/gen/headwater/orders/v1/order_state_pb.ts";
import { orderTopics } from "../domain.ts";

/** What a record holds. */
export interface Decoded {
  /** What kind it is of, such as "orderPlaced". */
  readonly type: string;
  readonly json: JsonValue;
}

/** Why there is nothing to show. */
export interface Undecodable {
  readonly error: string;
}

/** By topic. Those that are not here hold notifications. */
const decoders: Readonly<Record<string, (value: Uint8Array, key: string) => Decoded>> = {
  [orderTopics.events.name](value) {
    const event = fromBinary(OrderEventSchema, value);
    return { type: event.event.case ?? "unknown", json: toJson(OrderEventSchema, event) };
  },
  [orderTopics.commands.name]: decodeCommandRecord,
  [orderTopics.state.name](value, key) {
    if (key === POSITION_KEY)
      return { type: "position", json: toJson(PartitionPositionSchema, fromBinary(PartitionPositionSchema, value)) };
    if (pageOfKey(key) !== undefined) return { type: "outcomes", json: toJson(OutcomePageSchema, fromBinary(OutcomePageSchema, value)) };
    const snapshot = fromBinary(AggregateSnapshotSchema, value);
    const json = toJson(AggregateSnapshotSchema, snapshot) as Readonly<Record<string, JsonValue>>;
    return { type: "snapshot", json: { ...json, state: toJson(OrderStateSchema, fromBinary(OrderStateSchema, snapshot.state)) } };
  },
  [orderTopics.deadLetters.name](value) {
    const letter = fromBinary(DeadLetterSchema, value);
    const json = toJson(DeadLetterSchema, letter) as Readonly<Record<string, JsonValue>>;
    const command = attempt(() => decodeCommandRecord(letter.value));
    return { type: "deadLetter", json: "error" in command ? json : { ...json, value: command.json } };
  },
};

/** Topics whose records can be shown one by one, by the name that a command line takes. */
export const shownTopics = {
  events: orderTopics.events.name,
  commands: orderTopics.commands.name,
  "dead-letters": orderTopics.deadLetters.name,
} as const;

/** Nothing that a record holds ends the command that shows it. */
export function decode(topic: string, { key, value }: { readonly key: string; readonly value: Uint8Array }): Decoded | Undecodable {
  return attempt(() => {
    const decoder = decoders[topic];
    if (decoder === undefined) throw new TypeError(`nothing is known of the records of ${topic}`);
    return decoder(value, key);
  });
}

function decodeCommandRecord(value: Uint8Array): Decoded {
  const record = fromBinary(OrderCommandRecordSchema, value);
  const type = record.command === undefined ? "inquiry" : (record.command.command.case ?? "unknown");
  return { type, json: toJson(OrderCommandRecordSchema, record) };
}

function attempt(run: () => Decoded): Decoded | Undecodable {
  try {
    return run();
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}
