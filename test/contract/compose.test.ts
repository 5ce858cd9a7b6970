/** compose.yaml fits the processes. No container engine is needed, so whether the images start is not shown here. */

import { expect, it } from "vitest";
import { commandProblems, image, isProcess, portOf, readYaml, variableProblems } from "../support/deployment.ts";
import { processNames } from "../support/help.ts";

interface Service {
  image: string;
  build?: string;
  command?: string[];
  environment?: Record<string, string>;
  ports?: string[];
  volumes?: string[];
  mem_limit?: string;
  read_only?: boolean;
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: { test: string[] };
}

interface Compose {
  services: Record<string, Service>;
  volumes: Record<string, null>;
}

const readCompose = (): Compose => readYaml<Compose>("compose.yaml");

it("compose.yaml fits the processes", () => {
  expect(problemsOf(readCompose())).toEqual([]);
});

it.each<[string, string, (services: Compose["services"]) => void]>([
  ["a process that is missing", "projector is missing", (services) => delete services["projector"]],
  [
    "a wrong file",
    "gateway is started by cmd/gate/main.ts",
    ({ gateway }) => Object.assign(gateway ?? {}, { command: ["cmd/gate/main.ts"] }),
  ],
  [
    "a variable of nobody",
    "gateway does not read HEADWATER_NO",
    ({ gateway }) => Object.assign(gateway?.environment ?? {}, { HEADWATER_NO: "1" }),
  ],
  ["a port of another", "gateway publishes 127.0.0.1:80:80", ({ gateway }) => gateway?.ports?.splice(0, 1, "127.0.0.1:80:80")],
  ["a port for the world", "gateway publishes 8080:8080", ({ gateway }) => gateway?.ports?.splice(0, 1, "8080:8080")],
  ["a probe of another", "projector is probed elsewhere", ({ projector }) => projector?.healthcheck?.test.splice(-1, 1, "127.0.0.1:1")],
  ["no probe", "kafka has no healthcheck", ({ kafka }) => delete kafka?.healthcheck],
  ["no limit", "mongo has no mem_limit", ({ mongo }) => delete mongo?.mem_limit],
  ["another image", "gateway runs other:1", ({ gateway }) => Object.assign(gateway ?? {}, { image: "other:1" })],
  ["two builds", "the image is built by command-service, gateway", ({ gateway }) => Object.assign(gateway ?? {}, { build: "." })],
  [
    "a host of nobody",
    "gateway looks for nowhere",
    ({ gateway }) => Object.assign(gateway?.environment ?? {}, { HEADWATER_QUERY_URL: "http://nowhere:1" }),
  ],
  ["a volume of nobody", "kafka mounts disk", ({ kafka }) => kafka?.volumes?.push("disk:/disk")],
])("%s in it is found", (_, problem, plant) => {
  const compose = readCompose();
  plant(compose.services);
  expect(problemsOf(compose).join("\n")).toContain(problem);
});

function problemsOf({ services, volumes }: Compose): readonly string[] {
  const builders = Object.keys(services).filter((name) => services[name]?.build !== undefined);
  return [
    ...processNames.filter((name) => services[name] === undefined).map((name) => `${name} is missing`),
    ...(builders.length === 1 ? [] : [`the image is built by ${builders.join(", ")}`]),
    ...Object.entries(services).flatMap(([name, service]) => [
      ...commonProblems(name, service, Object.keys(volumes)),
      ...(isProcess(name) ? processProblems(name, service, Object.keys(services)) : []),
    ]),
  ];
}

function commonProblems(
  name: string,
  { healthcheck, mem_limit: limit, volumes = [] }: Service,
  known: readonly string[],
): readonly string[] {
  return [
    ...(healthcheck === undefined ? [`${name} has no healthcheck`] : []),
    ...(limit === undefined ? [`${name} has no mem_limit`] : []),
    ...volumes.filter((volume) => !known.includes(volume.split(":")[0] ?? "")).map((volume) => `${name} mounts ${volume}`),
  ];
}

function processProblems(name: string, service: Service, hosts: readonly string[]): readonly string[] {
  const { environment = {}, ports = [], healthcheck } = service;
  const port = portOf(name);
  const addresses = Object.values(environment).flatMap((value) => [...value.matchAll(/(?:^|,|\/\/)(?<host>[a-z][\w-]*):\d+/g)]);
  return [
    ...commandProblems(name, service.command),
    ...variableProblems(name, environment),
    ...ports.filter((published) => published !== `127.0.0.1:${port}:${port}`).map((published) => `${name} publishes ${published}`),
    ...(healthcheck?.test.at(-1)?.includes(`127.0.0.1:${port}`) ? [] : [`${name} is probed elsewhere`]),
    ...(service.image === image ? [] : [`${name} runs ${service.image}`]),
    ...(service.read_only ? [] : [`${name} can write to its image`]),
    ...addresses
      .map((match) => match.groups?.["host"] ?? "")
      .filter((host) => !hosts.includes(host))
      .map((host) => `${name} looks for ${host}`),
  ];
}
