/** What a run tells its processes, or leaves as they have it by default. */

export const partitions = 8;

export const database = "headwater";
