/** Consumer groups of the embedded log: who owns which partition since which generation, and who is fenced. In memory: members end with the process. */

import { balance } from "../../cqrs/balance.ts";
import { FencedError, type GroupMember, type Poll } from "../../cqrs/log.ts";

export interface Member {
  readonly id: number;
  readonly group: string;
  readonly topic: string;
  readonly instance: string;
  /** The generation that the member has seen; what it writes is judged by it. */
  generation: number;
  /** The partitions that the member believes to own. */
  known: readonly number[];
  /** The offset of the next record to return, of partitions that have been positioned. */
  readonly positions: Map<number, number>;
}

interface Group {
  generation: number;
  readonly members: Member[];
  /** Per partition, its owner and the generation since which it has owned it without a break. */
  readonly owners: Map<number, { readonly member: number; readonly since: number }>;
}

export class Groups {
  readonly #partitions: number;
  readonly #groups = new Map<string, Group>();
  readonly #members = new Map<number, Member>();
  #nextMember = 1;

  constructor(partitions: number) {
    this.#partitions = partitions;
  }

  join(group: string, topic: string, instance: string): Member {
    const state: Group = this.#groups.get(group) ?? { generation: 0, members: [], owners: new Map() };
    this.#groups.set(group, state);
    const replaced = state.members.find((member) => member.instance === instance);
    if (replaced !== undefined) this.#remove(state, replaced);
    const member: Member = { id: this.#nextMember++, group, topic, instance, generation: 0, known: [], positions: new Map() };
    this.#members.set(member.id, member);
    state.members.push(member);
    this.#rebalance(state);
    return member;
  }

  leave(memberId: number): void {
    const member = this.#members.get(memberId);
    if (member === undefined) return;
    const state = this.#group(member);
    this.#remove(state, member);
    this.#rebalance(state);
  }

  /** @throws {FencedError} the member was replaced or has left */
  member(memberId: number): Member {
    const member = this.#members.get(memberId);
    if (member === undefined) throw new FencedError("another member joined the group with this instance's name, or this one left it");
    return member;
  }

  /** All members of a group with their shares. */
  members(name: string): readonly GroupMember[] {
    const group = this.#groups.get(name);
    return (group?.members ?? []).map(({ id, instance }) => {
      const owned = [...(group?.owners ?? [])].filter(([, owner]) => owner.member === id);
      return { instance, partitions: owned.map(([partition]) => partition).toSorted((a, b) => a - b) };
    });
  }

  /** What changed for a member since it was last told; the member knows it from now on. */
  changes(member: Member): Pick<Poll, "generation" | "gained" | "lost"> {
    const group = this.#group(member);
    if (member.generation === group.generation) return { generation: group.generation, gained: [], lost: [] };
    const owned = [...group.owners].filter(([, owner]) => owner.member === member.id).map(([partition]) => partition);
    const kept = new Set(owned.filter((partition) => (group.owners.get(partition)?.since ?? 0) <= member.generation));
    const lost = member.known.filter((partition) => !kept.has(partition));
    const gained = owned.filter((partition) => !kept.has(partition));
    for (const partition of lost) member.positions.delete(partition);
    member.generation = group.generation;
    member.known = owned;
    return { generation: group.generation, gained, lost };
  }

  /** Makes a member forget what it was told: everything that it owns is new to it. */
  reset(member: Member): void {
    member.generation = 0;
    member.known = [];
    member.positions.clear();
  }

  hasChanges(member: Member): boolean {
    return member.generation !== this.#group(member).generation;
  }

  /** Whether a partition has been the member's without a break since the generation that it knows. */
  owns(member: Member, partition: number): boolean {
    const owner = this.#group(member).owners.get(partition);
    return owner?.member === member.id && owner.since <= member.generation;
  }

  #group(member: Member): Group {
    const group = this.#groups.get(member.group);
    if (group === undefined) throw new TypeError(`there is no group ${member.group}`);
    return group;
  }

  #remove(group: Group, member: Member): void {
    this.#members.delete(member.id);
    group.members.splice(group.members.indexOf(member), 1);
  }

  #rebalance(group: Group): void {
    group.generation += 1;
    if (group.members.length === 0) {
      group.owners.clear();
      return;
    }
    const owned = new Map(
      group.members.map(({ id }) => [id, [...group.owners].filter(([, owner]) => owner.member === id).map(([partition]) => partition)]),
    );
    for (const [member, partitions] of balance(this.#partitions, owned)) {
      for (const partition of partitions) {
        if (group.owners.get(partition)?.member !== member) group.owners.set(partition, { member, since: group.generation });
      }
    }
  }
}
