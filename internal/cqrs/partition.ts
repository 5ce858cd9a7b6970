/** Kafka's default partitioning, so that a producer in any language puts a key into the same partition. */

const encoder = new TextEncoder();

/** Where keys of ASCII are put, as nearly all of them are: a buffer for each would cost several times as much as its hash. */
const ascii = new Uint8Array(256);

/** The partition of a key: murmur2 of its UTF-8 bytes, made positive, modulo the number of partitions (Kafka's DefaultPartitioner). */
export function partitionOf(key: string, partitions: number): number {
  const hash = putAscii(key) ? murmur2(ascii, key.length) : murmur2(encoder.encode(key));
  return (hash & 0x7fffffff) % partitions;
}

function putAscii(text: string): boolean {
  if (text.length > ascii.length) return false;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code >= 0x80) return false;
    ascii[index] = code;
  }
  return true;
}

/** Murmur2, 32 bits, with the seed that Kafka's clients use, of the first bytes. */
export function murmur2(bytes: Uint8Array, length = bytes.length): number {
  const multiplier = 0x5bd1e995;
  const rotation = 24;
  let hash = 0x9747b28c ^ length;
  const whole = length & ~3;
  for (let index = 0; index < whole; index += 4) {
    let word = byte(bytes, index) | (byte(bytes, index + 1) << 8) | (byte(bytes, index + 2) << 16) | (byte(bytes, index + 3) << 24);
    word = Math.imul(word, multiplier);
    word ^= word >>> rotation;
    hash = Math.imul(hash, multiplier) ^ Math.imul(word, multiplier);
  }
  const rest = length - whole;
  if (rest === 3) hash ^= byte(bytes, whole + 2) << 16;
  if (rest >= 2) hash ^= byte(bytes, whole + 1) << 8;
  if (rest >= 1) hash = Math.imul(hash ^ byte(bytes, whole), multiplier);
  hash = Math.imul(hash ^ (hash >>> 13), multiplier);
  return (hash ^ (hash >>> 15)) | 0;
}

function byte(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0;
}
