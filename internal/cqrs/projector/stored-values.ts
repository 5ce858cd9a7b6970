/** The name that a stored value of an enum has here. @throws {TypeError} it has none */
export function nameOf<Name extends string>(names: Readonly<Record<Name, number>>, value: number): Name {
  for (const [name, each] of Object.entries(names)) {
    // The keys of the table are its names.
    if (each === value) return name as Name;
  }
  throw new TypeError(`${value} is none of ${Object.keys(names).join(", ")}`);
}

/** @throws {Error} a newer version of this program wrote it: reading what it knows would drop what it does not */
export function checkSchemaVersion(written: number, known: number, what: string): void {
  if (written <= known) return;
  throw new Error(
    `${what} was written by a newer version of this program (schema ${written}, this one knows ${known}): start that version`,
  );
}
