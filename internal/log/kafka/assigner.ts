/**
 * Deals the partitions of a topic to the members of a group: evenly, moving as few as possible, and of several members with one instance name
 * only to the one that joined last. kafkajs has neither stickiness nor static membership.
 */

import type { MemberDescription as DescribedMember, Assigner as KafkaAssigner, PartitionAssigner } from "kafkajs";
import { balance } from "../../cqrs/balance.ts";
import type { GroupMember } from "../../cqrs/log.ts";
import { AssignerProtocol, replacedFlag } from "./kafkajs.ts";

/** The assigner's name is state: members of a group must agree on it. */
const NAME = "headwater-sticky";

/** What a member tells the one that deals. */
interface MemberFacts {
  readonly instance: string;
  readonly joinedAtMs: number;
  readonly owned: readonly number[];
}

/** The assigner of one member. */
export function namedAssigner(topic: string, instance: string, owned: () => readonly number[]): PartitionAssigner {
  const joinedAtMs = Date.now();
  return ({ cluster }): KafkaAssigner => ({
    name: NAME,
    version: 0,
    protocol: ({ topics }) => {
      const facts: MemberFacts = { instance, joinedAtMs, owned: owned() };
      return {
        name: NAME,
        metadata: AssignerProtocol.MemberMetadata.encode({ version: 0, topics, userData: Buffer.from(JSON.stringify(facts)) }),
      };
    },
    assign({ members }) {
      const partitions = cluster.findTopicPartitionMetadata(topic).length;
      const told = members.map(({ memberId, memberMetadata }) => ({ memberId, ...factsOf(memberMetadata) }));
      const latest = new Map(told.toSorted((a, b) => a.joinedAtMs - b.joinedAtMs).map((member) => [member.instance, member]));
      const shares = balance(partitions, new Map([...latest.values()].map((member) => [member.memberId, member.owned])));
      return Promise.resolve(
        told.map(({ memberId }) => ({
          memberId,
          memberAssignment: AssignerProtocol.MemberAssignment.encode({
            version: 0,
            assignment: { [topic]: [...(shares.get(memberId) ?? [])] },
            userData: shares.has(memberId) ? Buffer.alloc(0) : replacedFlag,
          }),
        })),
      );
    },
  });
}

/** A member as its group describes it; undefined while the group has not dealt it anything. */
export function groupMember({
  memberMetadata,
  memberAssignment,
}: Pick<DescribedMember, "memberMetadata" | "memberAssignment">): GroupMember | undefined {
  if (memberMetadata.length === 0 || memberAssignment.length === 0) return undefined;
  const { instance } = factsOf(memberMetadata);
  const { assignment = {}, userData } = AssignerProtocol.MemberAssignment.decode(memberAssignment) ?? {};
  if (userData !== undefined && replacedFlag.equals(userData)) return undefined;
  const partitions = Object.values(assignment).flat();
  return { instance, partitions: partitions.toSorted((a, b) => a - b) };
}

function factsOf(metadata: Buffer): MemberFacts {
  const userData = AssignerProtocol.MemberMetadata.decode(metadata)?.userData;
  return JSON.parse((userData ?? Buffer.from("{}")).toString()) as MemberFacts;
}
