/** A process that lives in the way that its argument says, for the test beside it. */

import { setTimeout as delay } from "node:timers/promises";
import { createLogger } from "../platform/logging.ts";
import { type Life, live, type ProcessContext } from "./live.ts";

const [way = ""] = process.argv.slice(2);

/** Keeps the process alive, as a connection does. */
const forever = (): Promise<never> => {
  setInterval(() => undefined, 1_000);
  return Promise.withResolvers<never>().promise;
};

const ways: Readonly<Record<string, (context: ProcessContext) => Promise<void>>> = {
  "it works": async () => undefined,
  "it cannot start": () => Promise.reject(new Error("the reason")),
  "it never starts": forever,
  "nobody catches an error": async () => void delay(1).then(() => Promise.reject(new Error("the reason"))),
  "it never closes": async ({ stack }) => stack.defer(forever),
  "it fails and never closes": ({ stack }) => {
    stack.defer(forever);
    return Promise.reject(new Error("the reason"));
  },
  "it fails and cannot close": async () => {
    await using stack = new AsyncDisposableStack();
    stack.defer(() => Promise.reject(new Error("another reason")));
    throw new Error("the reason");
  },
  "it cannot close": async ({ stack }) => stack.defer(() => Promise.reject(new Error("the reason"))),
};

const life: Life = {
  name: "fixture",
  help: "",
  configure: () => ({
    logger: createLogger({ app: "fixture", level: "silent" }),
    async start(context) {
      void forever();
      process.stdout.write("started\n");
      await ways[way]?.(context);
      return { announcement: "it runs\n", check: () => Promise.resolve() };
    },
  }),
};

process.exit(await live(life));
