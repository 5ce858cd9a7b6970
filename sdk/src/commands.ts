import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { type CommandOptions, CommandOptionsSchema, type Receipt } from "./gen/headwater/cqrs/v1/command_pb.ts";
import type { OrderCommandService } from "./gen/headwater/orders/v1/order_command_service_pb.ts";

type Rpcs = (typeof OrderCommandService)["method"];

/** The names of the commands: every RPC whose request carries command options. */
export type CommandName = {
  [Name in keyof Rpcs]: "options" extends keyof MessageShape<Rpcs[Name]["input"]> ? Name : never;
}[keyof Rpcs];

/** The facts of a command, as they are written in a call. */
export type CommandInit<Name extends CommandName> = MessageInitShape<Rpcs[Name]["input"]>;

/** What all commands have in common. */
export interface CommandRequest {
  readonly orderId?: string;
  readonly options?: MessageInitShape<typeof CommandOptionsSchema> | undefined;
}

/** The RPC of a command. */
export type CommandMethod = DescMethodUnary<DescMessage, DescMessage>;

/** Whether an RPC sends one command. */
export function isCommand(method: DescMethod): method is CommandMethod {
  return method.methodKind === "unary" && method.input.field["options"]?.message === CommandOptionsSchema;
}

/** The receipt in a command's response. */
export function receiptOf(response: object): Receipt {
  return (response as { readonly receipt: Receipt }).receipt;
}

/** The command as a message of its own, with a command id: one of the caller's choice, or a new one. The request is left as it is. */
export function identified(
  schema: DescMessage,
  request: CommandRequest,
  consistencyToken: (given: string) => string,
): { readonly message: MessageShape<DescMessage>; readonly options: CommandOptions } {
  const given = create(CommandOptionsSchema, request.options);
  const options: CommandOptions = {
    ...given,
    commandId: given.commandId || newCommandId(),
    consistencyToken: consistencyToken(given.consistencyToken),
  };
  const message = create(schema, { ...request, options });
  return { message: encodable(schema, message), options };
}

/**
 * A random UUID. `crypto.randomUUID` is missing on pages that came over plain HTTP; its source of
 * randomness is not.
 */
function newCommandId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const variant = "89ab"[(bytes[8] ?? 0) % 4];
  return digits.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, `$1-$2-4$3-${variant}$4-$5`);
}

/** Throws if a field holds what its type cannot: that is the caller's mistake, and no retry and no other command must suffer from it. */
export function encodable<Schema extends DescMessage>(schema: Schema, message: MessageShape<Schema>): MessageShape<Schema> {
  toBinary(schema, message);
  return message;
}
