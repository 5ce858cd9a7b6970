/** The ceiling of a read: a store that is asked by this process, with nothing between. */

/** A closed loop in this process, after a warm-up as long. Returns how often a second. */
export async function measureBare(
  ask: (index: number) => Promise<unknown>,
  { callers, seconds }: { readonly callers: number; readonly seconds: number },
): Promise<number> {
  const run = async (): Promise<number> => {
    const endMs = performance.now() + seconds * 1000;
    let asked = 0;
    const caller = async (): Promise<void> => {
      while (performance.now() < endMs) await ask(asked++);
    };
    await Promise.all(Array.from({ length: callers }, caller));
    return asked / seconds;
  };
  await run();
  return run();
}
