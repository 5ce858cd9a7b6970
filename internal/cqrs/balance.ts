/**
 * Spreads partitions evenly over members, moving as few as possible.
 *
 * @param owned per member, the partitions it has now; of a partition that several claim, the first keeps it
 */
export function balance<Member>(partitions: number, owned: ReadonlyMap<Member, readonly number[]>): ReadonlyMap<Member, readonly number[]> {
  const least = Math.floor(partitions / owned.size);
  /** So many members have one more than the others. */
  let larger = partitions % owned.size;
  const dealt = new Map<Member, number[]>();
  const taken = new Set<number>();
  for (const [member, claimed] of owned) {
    const own = [...new Set(claimed)].filter((partition) => partition < partitions && !taken.has(partition));
    const kept = own.slice(0, larger > 0 ? least + 1 : least);
    if (kept.length > least) larger -= 1;
    for (const partition of kept) taken.add(partition);
    dealt.set(member, kept);
  }
  for (let partition = 0; partition < partitions; partition += 1) {
    if (taken.has(partition)) continue;
    const [, share] = [...dealt].reduce((smallest, entry) => (entry[1].length < smallest[1].length ? entry : smallest));
    share.push(partition);
  }
  return dealt;
}
