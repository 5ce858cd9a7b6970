/**
 * Calls to another thread over a message port. All calls that one turn of the event loop makes travel in one message, and so do the answers
 * that are given in one go: what a thread pays for is the message, not the call.
 */

import type { MessagePort } from "node:worker_threads";

/** What a server can be asked, as `{ method: (argument) => result }`. Arguments and results are structured clones. */
export type PortMethods<Methods> = { readonly [Method in keyof Methods]: (argument: never) => unknown };

type Argument<Method> = Method extends (argument: infer A) => unknown ? A : never;
type Result<Method> = Method extends (argument: never) => infer R ? R : never;

/** The errors that keep their class from one thread to the other, by name. Any other arrives as an Error. */
export type ErrorClasses = Readonly<Record<string, new (message: string) => Error>>;

export interface PortClient<Methods extends PortMethods<Methods>, Push> {
  call<Method extends keyof Methods>(method: Method, argument: Argument<Methods[Method]>): Promise<Result<Methods[Method]>>;
  /** Sets the listener for what the server sends unasked. */
  onPush(listener: (message: Push) => void): void;
  /** Takes no more calls, waits for the answers that are still due, and closes the port. */
  close(): Promise<void>;
}

export interface PortClientOptions {
  readonly errors: ErrorClasses;
  /** Makes the error of every call that the closed port leaves without an answer. */
  readonly closedError: () => Error;
}

/** A call as the server sees it. It is answered exactly once, now or later. */
export type PortRequest<Methods extends PortMethods<Methods>> = {
  readonly [Method in keyof Methods]: {
    readonly method: Method;
    readonly argument: Argument<Methods[Method]>;
    answer(result: Result<Methods[Method]>): void;
    fail(error: unknown): void;
  };
}[keyof Methods];

export interface PortServer<Push> {
  push(message: Push): void;
  /** Closes the port behind the answers that were given. */
  close(): void;
}

export function createPortClient<Methods extends PortMethods<Methods>, Push = never>(
  port: MessagePort,
  { errors, closedError }: PortClientOptions,
): PortClient<Methods, Push> {
  const pending = new Map<number, PromiseWithResolvers<unknown>>();
  const closed = Promise.withResolvers<void>();
  let outbox: unknown[] = [];
  let lastId = PUSH;
  let closing = false;
  let listener: ((message: Push) => void) | undefined;

  function flush() {
    const calls = outbox;
    outbox = [];
    port.postMessage(calls);
  }

  function closeIfDrained() {
    if (closing && pending.size === 0) port.close();
  }

  port.on("message", (answers: readonly unknown[]) => {
    for (let i = 0; i < answers.length; i += ANSWER_LENGTH) {
      const id = answers[i] as number;
      const value = answers[i + 2];
      if (id === PUSH) {
        listener?.(value as Push);
        continue;
      }
      const call = pending.get(id);
      pending.delete(id);
      if (answers[i + 1] === true) call?.resolve(value);
      else call?.reject(reviveError(value as TransferredError, errors));
    }
    closeIfDrained();
  });
  port.on("close", () => {
    closing = true;
    for (const call of pending.values()) call.reject(closedError());
    pending.clear();
    closed.resolve();
  });

  return {
    call(method, argument) {
      if (closing) return Promise.reject(closedError());
      const call = Promise.withResolvers<unknown>();
      pending.set(++lastId, call);
      // An immediate, not a microtask: so the calls of all sockets that became readable together share the message.
      if (outbox.push(lastId, method, argument) === REQUEST_LENGTH) setImmediate(flush);
      return call.promise as Promise<Result<Methods[typeof method]>>;
    },
    onPush(onMessage) {
      listener = onMessage;
    },
    close() {
      closing = true;
      closeIfDrained();
      return closed.promise;
    },
  };
}

/** Serves a port until it closes. The handler gets all the calls of one message, so that it can do them together. */
export function servePort<Methods extends PortMethods<Methods>, Push = never>(
  port: MessagePort,
  handler: (requests: readonly PortRequest<Methods>[]) => void,
  onClose?: () => void,
): PortServer<Push> {
  const outbox = new Outbox(port);
  port.on("message", (calls: readonly unknown[]) => {
    const requests: Request[] = [];
    for (let i = 0; i < calls.length; i += REQUEST_LENGTH) {
      requests.push(new Request(outbox, calls[i] as number, calls[i + 1] as string, calls[i + 2]));
    }
    handler(requests as unknown as readonly PortRequest<Methods>[]);
  });
  if (onClose !== undefined) port.on("close", onClose);
  return {
    push: (message) => outbox.add(PUSH, true, message),
    close() {
      outbox.flush();
      port.close();
    },
  };
}

/** Whether a message is one of a client's, with calls of these names: what comes from another process may be anything. */
export function isCallMessage(message: unknown, calls: Readonly<Record<string, true>>): boolean {
  if (!Array.isArray(message) || message.length % REQUEST_LENGTH !== 0) return false;
  return message.every((part: unknown, index) => {
    if (index % REQUEST_LENGTH === 0) return typeof part === "number";
    return index % REQUEST_LENGTH !== 1 || (typeof part === "string" && Object.hasOwn(calls, part));
  });
}

/** In place of a call's id: what the server sends unasked. */
const PUSH = 0;

/** Calls travel flat, as id, method, argument; answers as id, whether it went well, result or error. */
const REQUEST_LENGTH = 3;
const ANSWER_LENGTH = 3;

interface TransferredError {
  readonly name: string;
  readonly message: string;
}

class Outbox {
  readonly #port: MessagePort;
  #answers: unknown[] = [];

  constructor(port: MessagePort) {
    this.#port = port;
  }

  add(id: number, ok: boolean, value: unknown) {
    if (this.#answers.push(id, ok, value) === ANSWER_LENGTH) queueMicrotask(this.flush);
  }

  readonly flush = () => {
    const answers = this.#answers;
    if (answers.length === 0) return;
    this.#answers = [];
    this.#port.postMessage(answers);
  };
}

class Request {
  readonly method: string;
  readonly argument: unknown;
  readonly #outbox: Outbox;
  readonly #id: number;

  constructor(outbox: Outbox, id: number, method: string, argument: unknown) {
    this.#outbox = outbox;
    this.#id = id;
    this.method = method;
    this.argument = argument;
  }

  answer(result: unknown) {
    this.#outbox.add(this.#id, true, result);
  }

  fail(error: unknown) {
    const transferred: TransferredError =
      error instanceof Error ? { name: error.name, message: error.message } : { name: "Error", message: String(error) };
    this.#outbox.add(this.#id, false, transferred);
  }
}

function reviveError({ name, message }: TransferredError, errors: ErrorClasses): Error {
  if (Object.hasOwn(errors, name)) return new (errors[name] as ErrorClasses[string])(message);
  const error = new Error(message);
  error.name = name;
  return error;
}
