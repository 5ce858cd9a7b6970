/** What keeps an order's state and its events small enough for one record of the log, whatever clients send. */

/** A larger order is split by its sender: its lines travel in one command and one event. */
export const MAX_LINES = 1000;

/** Of one line, and the same in the contract; the items of 1000 lines still fit into 32 bits. */
export const MAX_QUANTITY = 1_000_000;

/** Far above any order, and still an exact number in JSON and in documents (below 2^53). */
export const MAX_TOTAL_MINOR_UNITS = 1_000_000_000_000_000n;

/** Of payments, shipments, returns and refunds each: all are remembered for ever, so that a repeated one is recognised. */
export const MAX_ENTRIES = 100;

/** Over all shipments of an order: without it, 100 shipments of 1000 lines would be remembered. */
export const MAX_SHIPMENT_LINES = 5000;

/** Over all returns, for the same reason: an order stays well below the 4 MiB that clients take in one answer. */
export const MAX_RETURN_LINES = 5000;
