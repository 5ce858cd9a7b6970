/** The ceiling of a read: a store that is asked by this process, with nothing between. */

/** A closed loop in this process, after a warm-up as long, unless that has taken twice as long already. Returns how often a second. */
export async function measureBare(
  ask: (index: number) => Promise<unknown>,
  { callers, seconds }: { readonly callers: number; readonly seconds: number },
): Promise<number> {
  const run = async () => {
    const startedMs = performance.now();
    let asked = 0;
    const caller = async (): Promise<void> => {
      while (performance.now() < startedMs + seconds * 1000) await ask(asked++);
    };
    await Promise.all(Array.from({ length: callers }, caller));
    const tookSeconds = (performance.now() - startedMs) / 1000;
    return { tookSeconds, perSecond: asked / tookSeconds };
  };
  const first = await run();
  return first.tookSeconds > 2 * seconds ? first.perSecond : (await run()).perSecond;
}
