/** Text of others, made fit for a terminal. */

/**
 * What a terminal obeys instead of showing it: control characters of both sets, and what turns the direction of the text around it. Line and
 * paragraph separators end a line in some.
 */
const commanding = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}\ufeff]/gu;

/** On one line, and showing what it has in place of doing it: \u{1b} for the escape character. */
export function printable(text: string): string {
  return text.replace(commanding, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}
