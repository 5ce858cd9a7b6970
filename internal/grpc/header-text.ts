/**
 * Headers beyond ASCII. Node gives each of their bytes as a character; whoever reads them by the
 * rules drops them.
 */

/**
 * What must be encoded in a value that is not ASCII: all else, and the percent sign, which stands
 * for itself there.
 */
const notPlain = /[^\x20-\x24\x26-\x7e]/g;
const notAscii = /[^\x20-\x7e]/;

/**
 * The value of a header as ASCII: one that is not has its bytes percent-encoded, as gRPC encodes
 * its messages.
 */
export function asciiHeader(value: string): string {
  if (!notAscii.test(value)) return value;
  return value.replace(notPlain, (character) => `%${character.charCodeAt(0).toString(16).padStart(2, "0").toUpperCase()}`);
}
