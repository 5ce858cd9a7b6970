/** Writes what Kafka's protocol is made of into one growing buffer. */

const FIRST_BYTES = 16 * 1024;

/** A UTF-16 unit takes three bytes at most. */
const MAX_BYTES_PER_UNIT = 3;
const MAX_VARINT_BYTES = 5;

export class ByteWriter {
  #bytes: Buffer;
  #length = 0;

  /** It grows when it has to, and copies everything then. */
  constructor(expectedBytes = FIRST_BYTES) {
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, expectedBytes));
  }

  get length(): number {
    return this.#length;
  }

  /** What was written, from a place on. It must not be written to any more. */
  from(start: number): Buffer {
    return this.#bytes.subarray(start, this.#length);
  }

  int8(value: number): void {
    this.#reserve(1);
    this.#length = this.#bytes.writeInt8(value, this.#length);
  }

  int16(value: number): void {
    this.#reserve(2);
    this.#length = this.#bytes.writeInt16BE(value, this.#length);
  }

  int32(value: number): void {
    this.#reserve(4);
    this.#length = this.#bytes.writeInt32BE(value, this.#length);
  }

  int64(value: bigint): void {
    this.#reserve(8);
    this.#length = this.#bytes.writeBigInt64BE(value, this.#length);
  }

  /** Leaves room for a number that is known later, and returns its place. */
  room(bytes: number): number {
    this.#reserve(bytes);
    this.#length += bytes;
    return this.#length - bytes;
  }

  int32At(place: number, value: number): void {
    this.#bytes.writeInt32BE(value | 0, place);
  }

  /** Signed, and zigzag as all of Kafka's. */
  varint(value: number): void {
    this.#reserve(MAX_VARINT_BYTES);
    this.#length = this.#varintAt(this.#length, value);
  }

  /** Text with its length in 16 bits; null is the length -1. */
  text16(text: string | null): void {
    if (text === null) return this.int16(-1);
    this.int16(Buffer.byteLength(text));
    this.#reserve(text.length * MAX_BYTES_PER_UNIT);
    this.#length += this.#bytes.write(text, this.#length);
  }

  /** Text or bytes with their length as a varint; null is the length -1. */
  varBytes(value: string | Uint8Array | null): void {
    if (value === null) this.varint(-1);
    else if (typeof value === "string") this.#varText(value);
    else {
      this.#reserve(MAX_VARINT_BYTES + value.length);
      this.#length = this.#varintAt(this.#length, value.length);
      this.#bytes.set(value, this.#length);
      this.#length += value.length;
    }
  }

  /** Puts the length of what lies behind the room that was left for it there, as a varint; what does not fit moves what lies behind. */
  varLengthAt(place: number, roomBytes: number): void {
    const size = this.#length - place - roomBytes;
    const lengthBytes = sizeOfVarint(size);
    if (lengthBytes !== roomBytes) {
      this.#reserve(MAX_VARINT_BYTES);
      this.#bytes.copyWithin(place + lengthBytes, place + roomBytes, this.#length);
      this.#length += lengthBytes - roomBytes;
    }
    this.#varintAt(place, size);
  }

  #varText(text: string): void {
    const { length } = text;
    this.#reserve(MAX_VARINT_BYTES + length * MAX_BYTES_PER_UNIT);
    const bytes = this.#bytes;
    const start = this.#length + 1;
    // As long as the length takes one byte and every character too.
    let index = length < 0x40 ? 0 : length;
    for (; index < length; index += 1) {
      const code = text.charCodeAt(index);
      if (code >= 0x80) break;
      bytes[start + index] = code;
    }
    if (length < 0x40 && index === length) {
      bytes[start - 1] = length << 1;
      this.#length = start + length;
      return;
    }
    this.#length = this.#varintAt(this.#length, Buffer.byteLength(text));
    this.#length += bytes.write(text, this.#length);
  }

  #varintAt(place: number, value: number): number {
    let rest = value < 0 ? -2 * value - 1 : 2 * value;
    let at = place;
    for (; rest >= 0x80; rest >>>= 7) this.#bytes[at++] = (rest & 0x7f) | 0x80;
    this.#bytes[at] = rest;
    return at + 1;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length));
    larger.set(this.from(0));
    this.#bytes = larger;
  }
}

function sizeOfVarint(value: number): number {
  const zigzag = 2 * value;
  return zigzag < 0x80 ? 1 : zigzag < 0x4000 ? 2 : zigzag < 0x20_0000 ? 3 : zigzag < 0x1000_0000 ? 4 : 5;
}
