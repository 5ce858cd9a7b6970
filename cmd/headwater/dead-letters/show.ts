import { ConfigError } from "../../../internal/platform/config.ts";
import { systemOptions } from "../../../internal/process/options.ts";
import { command, jsonOption } from "../command.ts";
import { orderTopics } from "../domain.ts";
import { decode } from "../log/decode.ts";
import { print } from "../printable.ts";
import { openLog } from "../system/open.ts";
import { describeLetter } from "./describe.ts";
import { findLetters } from "./find.ts";
import type { Letter } from "./letters.ts";

export const show = command({
  name: "dead-letters show",
  about: "a dead letter, with everything that is known of it",
  takes: "<id>",
  options: { ...jsonOption, ...systemOptions },
  async run({ values, positionals }) {
    if (positionals.length !== 1) throw new ConfigError("name one dead letter; headwater dead-letters list shows their ids");
    await using log = await openLog(values);
    const [letter] = await findLetters(log, positionals);
    if (letter === undefined) return 1;
    const described = { ...describeLetter(letter), ...contentOf(letter) };
    print(values.json ? `${JSON.stringify(described, null, 2)}\n` : toText(described));
    return 0;
  },
});

/** The command, or its bytes. */
function contentOf({ content: { key, value } }: Letter) {
  const decoded = decode(orderTopics.commands.name, { key, value });
  const bytes = { bytes: value.length, base64: Buffer.from(value).toString("base64") };
  return "error" in decoded ? { undecodable: decoded.error, ...bytes } : { value: decoded.json, ...bytes };
}

function toText(described: object): string {
  const lines = Object.entries(described).map(([name, value]) => {
    const text = typeof value === "object" ? JSON.stringify(value, null, 2) : String(value);
    return `${name.padEnd(12)}${text.replaceAll("\n", `\n${"".padEnd(12)}`)}`;
  });
  return `${lines.join("\n")}\n`;
}
