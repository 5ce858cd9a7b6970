import { type DescFile, type DescService, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type DescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import type { Server } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { service as healthService } from "grpc-health-check";
import { file_google_rpc_error_details } from "../gen/google/rpc/error_details_pb.ts";

const healthName = "grpc.health.v1.Health";

/**
 * Lets tools such as grpcurl find out what the server offers and read its errors, by grpc.reflection v1 and v1alpha. It shows no custom
 * options: what it is built on drops them.
 */
export function addReflection(server: Server, services: readonly DescService[]): void {
  const files = [...services.map(({ file }) => file), file_google_rpc_error_details];
  const definitions = {
    own: { fileDescriptorProtos: encodedFiles(files) },
    [healthName]: { fileDescriptorProtos: healthFiles() },
  };
  // Of a package definition it reads nothing but the files.
  const definition = definitions as unknown as ConstructorParameters<typeof ReflectionService>[0];
  const names = [healthName, ...services.map(({ typeName }) => typeName)];
  new ReflectionService(definition, { services: names }).addToServer(server);
}

/** The files and all that they import. */
function encodedFiles(roots: readonly DescFile[]): Buffer[] {
  const files = new Set<DescFile>();
  const visit = (file: DescFile): void => {
    if (files.has(file)) return;
    files.add(file);
    file.dependencies.forEach(visit);
  };
  roots.forEach(visit);
  return [...files].map(({ proto }) => Buffer.from(toBinary(FileDescriptorProtoSchema, proto)));
}

function healthFiles(): Buffer[] {
  const encoded = healthService["Check"]?.requestType.fileDescriptorProtos ?? [];
  return encoded.map((bytes) => {
    const file = fromBinary(FileDescriptorProtoSchema, bytes);
    for (const message of file.messageType) nameMapEntries(message);
    return Buffer.from(toBinary(FileDescriptorProtoSchema, file));
  });
}

/** The loader of the health service names a map's entry like its field; tools refuse any other name than that of the protobuf rules. */
function nameMapEntries(message: DescriptorProto): void {
  for (const entry of message.nestedType.filter(({ options }) => options?.mapEntry)) {
    const field = message.field.find(({ typeName }) => typeName === entry.name || typeName.endsWith(`.${entry.name}`));
    if (field === undefined) continue;
    const name = `${field.name.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase())}Entry`;
    field.typeName = field.typeName.slice(0, field.typeName.length - entry.name.length) + name;
    entry.name = name;
  }
}
