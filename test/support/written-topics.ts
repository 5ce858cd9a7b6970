/** A log as one process sees it, of which a test hears or decides what may be written. */

import type { Log, NewRecord } from "../../internal/cqrs/log.ts";

/** Is told the records of each append and each transaction before they are written; what it throws becomes of them. */
export function beforeWrites(log: Log, told: (records: readonly NewRecord[]) => void): Log {
  return {
    ...log,
    async append(records) {
      told(records);
      return log.append(records);
    },
    async own(options) {
      const owner = await log.own(options);
      return {
        ...owner,
        async transact(transaction) {
          told(transaction.records);
          await owner.transact(transaction);
        },
      };
    },
  };
}
