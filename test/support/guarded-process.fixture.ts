/** A process that starts a guarded one, says which, and waits to be killed. */

import { startGuarded } from "./guarded-process.ts";

const [, , folder = ""] = process.argv;
const { pid } = startGuarded(process.execPath, ["--eval", "setInterval(() => {}, 1_000)"], folder);
console.log(pid);
