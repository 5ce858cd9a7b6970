/** `npm run golden`: records an event that has no file, and writes anew what the recorded bytes of the others mean. */

import { writeFileSync } from "node:fs";
import { fromJson, toBinary } from "@bufbuild/protobuf";
import { OrderEventSchema } from "../../internal/gen/headwater/orders/v1/order_event_pb.ts";
import { filled } from "./filled.ts";
import { decoded, eventKinds, type Golden, goldenPath, readGolden } from "./golden.ts";

for (const { localName, name } of eventKinds) {
  const bytes = readGolden(name)?.bytes ?? encoded(localName);
  const golden: Golden = { bytes, event: decoded(bytes) };
  writeFileSync(goldenPath(name), `${JSON.stringify(golden, null, 2)}\n`);
}

function encoded(member: string): string {
  const event = fromJson(OrderEventSchema, filled(OrderEventSchema, member));
  if (event.metadata !== undefined) event.metadata.schemaVersion = 1;
  return Buffer.from(toBinary(OrderEventSchema, event)).toString("base64");
}
