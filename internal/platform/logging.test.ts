import { spawnSync } from "node:child_process";
import { expect, it } from "vitest";

const module = new URL("logging.ts", import.meta.url).href;

it("logs JSON lines to stderr, from its level on", () => {
  const program = `
    import { createLogger } from ${JSON.stringify(module)};
    const logger = createLogger({ app: "projector", level: "info" });
    logger.debug("too fine");
    logger.info({ partition: 3 }, "joined");`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8" });
  expect(stdout).toBe("");
  expect(JSON.parse(stderr)).toMatchObject({
    level: 30,
    app: "projector",
    partition: 3,
    msg: "joined",
    time: expect.stringMatching(/^\d{4}-.+Z$/),
  });
});
