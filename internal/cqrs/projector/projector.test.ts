/** Those who wait for views learn how far they are. That views are the folds of their events, `testing/projector-suite.ts` holds of each store. */

import { expect, it, onTestFinished } from "vitest";
import {
  createOrder,
  openGateway,
  openOrderLog,
  orders,
  startHandler,
  startProjector,
  submission,
  submit,
} from "../../../test/support/order-runtime.ts";
import { openEmbeddedDocuments } from "../../documents/embedded/open.ts";
import { CommandStage } from "../../gen/headwater/cqrs/v1/command_pb.ts";

it("a caller who waits for the views reads what he wrote", async () => {
  const log = await openOrderLog();
  const documents = await openEmbeddedDocuments({ inMemory: true });
  onTestFinished(() => documents[Symbol.asyncDispose]());
  startHandler(log);
  startProjector(log, documents);
  const gateway = await openGateway(log);
  for (let count = 0; count < 20; count += 1) {
    const projected = await submit(gateway, submission(`order-${count}`, createOrder), CommandStage.PROJECTED);
    expect(projected).toMatchObject({ stage: CommandStage.PROJECTED, pendingViews: [] });
    expect((await documents.load(orders.views[0]?.collection.name ?? "", [`order-${count}`]))[0]?.fields["version"]).toBe(1);
  }
});

it("a caller who waits for views that nobody builds learns which", async () => {
  const log = await openOrderLog();
  startHandler(log);
  const gateway = await openGateway(log);
  const command = submission("order-1", createOrder);
  await submit(gateway, command);
  const names = orders.views.map(({ name }) => name);
  const answer = await gateway.submit(command, { stage: CommandStage.PROJECTED, views: names, signal: AbortSignal.timeout(300) });
  expect(answer).toMatchObject({ stage: CommandStage.DECIDED, pendingViews: names, outcome: { version: 1 } });
});
