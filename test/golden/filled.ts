import { type DescField, type DescMessage, type JsonObject, type JsonValue, ScalarType } from "@bufbuild/protobuf";

/** The JSON of a message with every field set, so that none can be lost unseen. Of a oneof, the named member or else the first. */
export function filled(schema: DescMessage, member?: string): JsonObject {
  const fields = schema.fields.filter((field) => {
    const chosen = field.oneof?.fields.find(({ localName }) => localName === member) ?? field.oneof?.fields[0];
    return chosen === undefined || chosen === field;
  });
  return Object.fromEntries(fields.map((field) => [field.jsonName, valueOf(field)]));
}

function valueOf(field: DescField): JsonValue {
  switch (field.fieldKind) {
    case "message":
      return messageOf(field.message);
    case "enum":
      return field.enum.values.at(-1)?.name ?? 0;
    case "scalar":
      return scalarOf(field.scalar, field);
    case "list":
      return [
        field.message ? messageOf(field.message) : field.enum ? (field.enum.values.at(-1)?.name ?? 0) : scalarOf(field.scalar, field),
      ];
    case "map":
      // One entry: the bytes of several have no fixed order.
      return { [field.mapKey === ScalarType.STRING ? field.name : field.number]: mapValueOf(field) };
  }
}

function mapValueOf(field: DescField & { fieldKind: "map" }): JsonValue {
  if (field.message !== undefined) return messageOf(field.message);
  return field.enum === undefined ? scalarOf(field.scalar, field) : (field.enum.values.at(-1)?.name ?? 0);
}

function messageOf(schema: DescMessage): JsonValue {
  return schema.typeName === "google.protobuf.Timestamp" ? "2011-12-09T12:50:00.123456789Z" : filled(schema);
}

/** A value that tells the field: its name, or its number. */
function scalarOf(scalar: ScalarType, { name, number }: DescField): JsonValue {
  if (scalar === ScalarType.STRING) return name;
  if (scalar === ScalarType.BOOL) return true;
  if (scalar === ScalarType.BYTES) return Buffer.from(name).toString("base64");
  return number;
}
