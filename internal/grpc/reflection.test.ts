import { once } from "node:events";
import { create, createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { type FileDescriptorProto, FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { type Client, Metadata } from "@grpc/grpc-js";
import { expect, it } from "vitest";
import { identity, startTestServer } from "./testing/harness.ts";

/** Field numbers of grpc.reflection's request and response; v1 and v1alpha have the same. */
const request = { fileByFilename: 3, fileContainingSymbol: 4, listServices: 7 };
const response = { fileDescriptor: 4, listServices: 6 };

const versions = ["grpc.reflection.v1", "grpc.reflection.v1alpha"];
const ownServices = ["headwater.orders.v1.OrderCommandService", "headwater.orders.v1.OrderQueryService"];
const allServices = ["grpc.health.v1.Health", ...ownServices];

it.each(versions)("%s lists the services", async (version) => {
  await using test = await startTestServer();
  const list = await ask(test.client, version, request.listServices, "*");
  const services = bytesFields(bytesFields(list, response.listServices)[0], 1);
  expect(services.map((service) => bytesFields(service, 1).map(String).join()).sort()).toEqual(allServices);
});

it.each(versions)("%s describes each service of the contract and what it needs", async (version) => {
  await using test = await startTestServer();
  for (const name of ownServices) {
    const files = await filesOf(test.client, version, name);
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: files }));
    expect(registry.getService(name)?.methods.length).toBeGreaterThan(0);
  }
});

it("describes error details", async () => {
  await using test = await startTestServer();
  const files = await filesOf(test.client, "grpc.reflection.v1", "google.rpc.BadRequest");
  expect(files.map(({ name }) => name)).toContain("google/rpc/error_details.proto");
});

it("names the entries of maps as protobuf demands", async () => {
  await using test = await startTestServer();
  for (const name of [...allServices, "google.rpc.ErrorInfo"]) {
    const files = await filesOf(test.client, "grpc.reflection.v1", name);
    const entries = files
      .flatMap(({ messageType }) => messageType.flatMap(({ nestedType }) => nestedType))
      .filter(({ options }) => options?.mapEntry);
    expect(entries.map((entry) => entry.name)).toEqual(entries.map(() => expect.stringMatching(/^[A-Z][A-Za-z]*Entry$/)));
  }
});

/** The file of a symbol and all that it imports, imports first. */
async function filesOf(client: Client, version: string, symbol: string): Promise<FileDescriptorProto[]> {
  const files = new Map<string, FileDescriptorProto>();
  const add = async (field: number, name: string): Promise<void> => {
    const [bytes] = bytesFields(bytesFields(await ask(client, version, field, name), response.fileDescriptor)[0], 1);
    if (bytes === undefined) throw new Error(`no file for ${name}`);
    const file = fromBinary(FileDescriptorProtoSchema, bytes);
    for (const dependency of file.dependency.filter((path) => !files.has(path))) await add(request.fileByFilename, dependency);
    files.set(file.name, file);
  };
  await add(request.fileContainingSymbol, symbol);
  return [...files.values()];
}

async function ask(client: Client, version: string, field: number, value: string): Promise<Buffer> {
  const stream = client.makeBidiStreamRequest(`/${version}.ServerReflection/ServerReflectionInfo`, identity, identity, new Metadata());
  stream.write(Buffer.from(new BinaryWriter().tag(field, 2).string(value).finish()));
  const [bytes] = await once(stream, "data");
  stream.end();
  return bytes;
}

/** The values of a length-delimited field of a message of which no schema is at hand. */
function bytesFields(message: Uint8Array | undefined, number: number): Buffer[] {
  const reader = new BinaryReader(message ?? new Uint8Array());
  const values: Buffer[] = [];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === number) values.push(Buffer.from(reader.bytes()));
    else reader.skip(type, field);
  }
  return values;
}
