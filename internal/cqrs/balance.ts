/**
 * Spreads partitions evenly over members, moving as few as possible.
 *
 * @param owned per member, the partitions it has now; of a partition that several claim, the first keeps it
 */
export function balance<Member>(partitions: number, owned: ReadonlyMap<Member, readonly number[]>): ReadonlyMap<Member, readonly number[]> {
  const least = Math.floor(partitions / owned.size);
  /** How many members may still have one more than the least. */
  let larger = partitions % owned.size;
  const dealt = new Map<Member, number[]>([...owned.keys()].map((member) => [member, []]));
  const taken = new Set<number>();
  for (const [member, claimed] of owned) {
    for (const partition of claimed) {
      const share = dealt.get(member);
      if (share === undefined || taken.has(partition) || partition >= partitions) continue;
      if (share.length > least || (share.length === least && larger === 0)) continue;
      if (share.length === least) larger -= 1;
      share.push(partition);
      taken.add(partition);
    }
  }
  for (let partition = 0; partition < partitions; partition += 1) {
    if (taken.has(partition)) continue;
    const [, share] = [...dealt].reduce((smallest, entry) => (entry[1].length < smallest[1].length ? entry : smallest));
    share.push(partition);
  }
  return dealt;
}
