/** The one place through which text goes to the terminal: some of it is what others wrote. */

/**
 * What a terminal obeys instead of showing it: control characters of both sets, and what turns the direction of the text around it. Line and
 * paragraph separators end a line in some.
 */
const commanding = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}\ufeff]/gu;

/** On one line, and showing what it has in place of doing it: \u001b for the escape character, as JSON writes it. */
export function printable(text: string): string {
  return text.replace(commanding, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Writes to the standard output. Only its line ends are obeyed. */
export function print(text: string): void {
  process.stdout.write(text.split("\n").map(printable).join("\n"));
}

/** Writes to the standard error. Only its line ends are obeyed. */
export function printError(text: string): void {
  process.stderr.write(text.split("\n").map(printable).join("\n"));
}
