/** CRC-32C (Castagnoli), with which Kafka protects its batches; neither JavaScript nor Node has it. Eight bytes at a time. */

/** Bits reversed, as everybody has it. */
const POLYNOMIAL = 0x82f63b78;

const BYTES = 256;

/** What a byte does to a checksum: the first table as the last one before its end, the eighth as the eighth before it. */
const tables = new Int32Array(8 * BYTES);
for (let byte = 0; byte < BYTES; byte += 1) {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ POLYNOMIAL;
  tables[byte] = crc;
}
for (let index = BYTES; index < tables.length; index += 1) {
  const before = tables[index - BYTES] ?? 0;
  tables[index] = (before >>> 8) ^ (tables[before & 0xff] ?? 0);
}

/** The checksum of bytes, as an unsigned number. */
export function crc32c(bytes: Uint8Array): number {
  const { length } = bytes;
  let crc = -1;
  let at = 0;
  for (; at + 8 <= length; at += 8) {
    crc =
      entry(7, byteAt(bytes, at) ^ (crc & 0xff)) ^
      entry(6, byteAt(bytes, at + 1) ^ ((crc >>> 8) & 0xff)) ^
      entry(5, byteAt(bytes, at + 2) ^ ((crc >>> 16) & 0xff)) ^
      entry(4, byteAt(bytes, at + 3) ^ (crc >>> 24)) ^
      entry(3, byteAt(bytes, at + 4)) ^
      entry(2, byteAt(bytes, at + 5)) ^
      entry(1, byteAt(bytes, at + 6)) ^
      entry(0, byteAt(bytes, at + 7));
  }
  for (; at < length; at += 1) crc = (crc >>> 8) ^ entry(0, byteAt(bytes, at) ^ (crc & 0xff));
  return (crc ^ -1) >>> 0;
}

function entry(table: number, byte: number): number {
  return tables[table * BYTES + byte] ?? 0;
}

function byteAt(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0;
}
