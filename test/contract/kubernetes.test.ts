/** deploy/kubernetes and deploy/keda fit the processes. No cluster is needed, so whether they start is not shown here. */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { expect, it } from "vitest";
import { defaultLimits } from "../../internal/grpc/limits.ts";
import { commandProblems, image, portOf, read, readAllYaml, readYaml, root, textOf, variableProblems } from "../support/deployment.ts";
import { processNames } from "../support/help.ts";
import { orderGroups, orderTopics } from "../support/order-domain.ts";

const folder = "deploy/kubernetes";
/** Leaving Kafka or MongoDB, after the calls have ended. */
const LEAVE_SECONDS = 10;

interface Probe {
  grpc?: { port: number; service?: string };
  tcpSocket?: { port: number };
}

interface Container {
  image: string;
  args: string[];
  env?: { name: string; value?: string }[];
  envFrom?: object[];
  ports: { name: string; containerPort: number }[];
  resources: { requests?: Record<string, string>; limits?: Record<string, string> };
  securityContext: { readOnlyRootFilesystem?: boolean; allowPrivilegeEscalation?: boolean; capabilities?: { drop: string[] } };
  startupProbe?: Probe;
  readinessProbe?: Probe;
  livenessProbe?: Probe;
  lifecycle?: { preStop: { sleep: { seconds: number } } };
}

interface Resource {
  kind: string;
  metadata: { name: string };
  spec: {
    replicas?: number;
    selector?: { matchLabels?: Record<string, string> };
    minReplicas?: number;
    maxReplicas?: number;
    ports?: { port: number; targetPort: string }[];
    template: {
      metadata: { labels: Record<string, string> };
      spec: {
        automountServiceAccountToken?: boolean;
        enableServiceLinks?: boolean;
        terminationGracePeriodSeconds: number;
        securityContext: { runAsNonRoot?: boolean; runAsUser?: number };
        containers: Container[];
        volumes?: { name: string; secret?: { secretName: string } }[];
      };
    };
  };
}

const shared = parseEnv(textOf(`${folder}/headwater.env`)) as Readonly<Record<string, string>>;
const partitions = Number(shared["HEADWATER_PARTITIONS"]);
const readResources = (): Resource[] => processNames.flatMap((name) => [...readAllYaml<Resource>(`${folder}/${name}.yaml`)]);

it("the manifests fit the processes", () => {
  expect(problemsOf(readResources())).toEqual([]);
});

it.each<[string, string, (pod: Resource["spec"]["template"]["spec"], container: Container) => void]>([
  ["a wrong file", "gateway is started by cmd/x/main.ts", (_, container) => container.args.splice(0, 1, "cmd/x/main.ts")],
  ["a flag of nobody", "gateway has no flag --no", (_, container) => container.args.push("--no=1")],
  ["a variable of nobody", "gateway does not read HEADWATER_NO", (_, container) => container.env?.push({ name: "HEADWATER_NO" })],
  ["a value that cannot be", "HEADWATER_HOST ConfigError", (_, container) => container.env?.push({ name: "HEADWATER_HOST", value: "" })],
  ["another port", "gateway listens on 1", (_, container) => container.ports.splice(0, 1, { name: "http", containerPort: 1 })],
  [
    "a probe of another port",
    "readinessProbe of gateway",
    (_, container) => Object.assign(container, { readinessProbe: { grpc: { port: 1 } } }),
  ],
  ["no probe", "startupProbe of gateway", (_, container) => delete container.startupProbe],
  [
    "a liveness that follows Kafka",
    "livenessProbe of gateway",
    (_, container) => Object.assign(container, { livenessProbe: { grpc: { port: 8080, service: "" } } }),
  ],
  ["no limit of memory", "gateway has no limit of memory", (_, container) => delete container.resources.limits],
  ["a file system to write to", "gateway may do too much", (_, container) => delete container.securityContext.readOnlyRootFilesystem],
  ["root", "gateway may do too much", (pod) => Object.assign(pod.securityContext, { runAsUser: 0 })],
  ["variables of Services", "gateway gets variables of Services", (pod) => delete pod.enableServiceLinks],
  ["a token", "gateway may do too much", (pod) => delete pod.automountServiceAccountToken],
  ["too short a time to end", "gateway is killed", (pod) => Object.assign(pod, { terminationGracePeriodSeconds: 20 })],
  [
    "a Secret of another",
    "gateway mounts other",
    (pod) => Object.assign(pod, { volumes: [{ name: "s", secret: { secretName: "other" } }] }),
  ],
])("%s is found", (_, problem, plant) => {
  const resources = readResources();
  const spec = resources.find(({ kind, metadata }) => kind === "Deployment" && metadata.name === "gateway")?.spec.template.spec;
  const container = spec?.containers[0];
  if (spec === undefined || container === undefined) throw new Error("the gateway has no container");
  plant(spec, container);
  expect(problemsOf(resources).join("\n")).toContain(problem);
});

it.each(["Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"])("a %s that is missing is found", (kind) => {
  const resources = readResources().filter((resource) => resource.kind !== kind || resource.metadata.name !== "gateway");
  expect(problemsOf(resources)).toEqual([`gateway has no ${kind}`]);
});

it("the kustomizations take every file, and the image of this version", () => {
  const { resources, images } = readYaml<{ resources: string[]; images: { name: string; newTag: string }[] }>(
    `${folder}/kustomization.yaml`,
  );
  const files = readdirSync(join(root, folder)).filter((name) => name.endsWith(".yaml") && name !== "kustomization.yaml");
  expect([...resources].sort()).toEqual(files.sort());
  expect(images.map(({ name, newTag }) => `${name}:${newTag}`)).toEqual([image]);
});

it("KEDA looks at the group and topic of the handlers, at the same brokers, and starts no more than there are partitions", () => {
  interface ScaledObject {
    spec: { scaleTargetRef: object; maxReplicaCount: number; triggers: { metadata: Record<string, string> }[] };
  }
  const { spec } = readAllYaml<ScaledObject>("deploy/keda/command-handler.yaml")[0] ?? {};
  expect(spec?.scaleTargetRef).toEqual({ kind: "StatefulSet", name: "command-handler" });
  expect(spec?.maxReplicaCount).toBeLessThanOrEqual(partitions);
  expect(spec?.triggers[0]?.metadata).toMatchObject({
    bootstrapServers: shared["HEADWATER_KAFKA_BROKERS"],
    consumerGroup: orderGroups.handler,
    topic: orderTopics.commands.name,
  });
});

function problemsOf(resources: readonly Resource[]): readonly string[] {
  const named = (kind: string, name: string): Resource | undefined =>
    resources.find((resource) => resource.kind === kind && resource.metadata.name === name);
  return processNames.flatMap((name) => {
    const workload = named("StatefulSet", name) ?? named("Deployment", name);
    if (workload === undefined) return [`${name} is missing`];
    const service = named("Service", name);
    const budget = named("PodDisruptionBudget", name);
    const scaler = named("HorizontalPodAutoscaler", name);
    const labels = JSON.stringify(workload.spec.template.metadata.labels);
    return [
      ...podProblems(name, workload),
      ...(service === undefined && name !== "projector" ? [`${name} has no Service`] : []),
      ...(service?.spec.ports?.some(({ port }) => port !== portOf(name)) ? [`the Service of ${name} has another port`] : []),
      ...(JSON.stringify(budget?.spec.selector?.matchLabels) === labels ? [] : [`${name} has no PodDisruptionBudget`]),
      ...(scaler === undefined && workload.kind === "Deployment" ? [`${name} has no HorizontalPodAutoscaler`] : []),
      ...(scaler !== undefined && workload.spec.replicas !== undefined ? [`two set the number of ${name}`] : []),
      ...(Math.max(scaler?.spec.maxReplicas ?? 0, workload.spec.replicas ?? 0) > partitions
        ? [`there are more ${name} than partitions`]
        : []),
    ];
  });
}

function podProblems(name: string, { spec: { template } }: Resource): readonly string[] {
  const { spec: pod } = template;
  const [container] = pod.containers;
  if (container === undefined) return [`${name} has no container`];
  const { securityContext: rights, lifecycle } = container;
  const isConfined =
    pod.automountServiceAccountToken === false &&
    pod.securityContext.runAsNonRoot === true &&
    (pod.securityContext.runAsUser ?? 0) > 0 &&
    rights.readOnlyRootFilesystem === true &&
    rights.allowPrivilegeEscalation === false &&
    rights.capabilities?.drop.join() === "ALL";
  const endsWithinSeconds = (lifecycle?.preStop.sleep.seconds ?? 0) + defaultLimits.drainTimeoutMs / 1000 + LEAVE_SECONDS;
  const secrets = (pod.volumes ?? []).flatMap(({ secret }) => secret?.secretName ?? []);
  return [
    ...containerProblems(name, container),
    ...(isConfined ? [] : [`${name} may do too much`]),
    ...(pod.enableServiceLinks === false ? [] : [`${name} gets variables of Services`]),
    ...(pod.terminationGracePeriodSeconds >= endsWithinSeconds ? [] : [`${name} is killed before it has ended`]),
    ...(secrets.join() === (container.envFrom === undefined ? "" : name) ? [] : [`${name} mounts ${secrets.join()}`]),
  ];
}

function containerProblems(name: string, container: Container): readonly string[] {
  const { ports, env = [], envFrom = [], startupProbe, readinessProbe, livenessProbe } = container;
  const port = portOf(name);
  // Everybody takes the shared variables, and reads his own.
  const fromShared = Object.entries(envFrom.length === 0 ? {} : shared).filter(([variable]) => read.get(name)?.has(variable));
  const isProbed = (probe: Probe | undefined): boolean => (probe?.grpc ?? probe?.tcpSocket)?.port === port;
  return [
    ...commandProblems(name, container.args),
    ...variableProblems(name, {
      ...Object.fromEntries(fromShared),
      ...Object.fromEntries(env.map((variable) => [variable.name, variable.value])),
    }),
    ...ports.filter(({ containerPort }) => containerPort !== port).map(({ containerPort }) => `${name} listens on ${containerPort}`),
    ...(isProbed(startupProbe) ? [] : [`the startupProbe of ${name} is wrong`]),
    ...(isProbed(readinessProbe) ? [] : [`the readinessProbe of ${name} is wrong`]),
    ...(isProbed(livenessProbe) && (livenessProbe?.tcpSocket ?? livenessProbe?.grpc?.service === "alive")
      ? []
      : [`the livenessProbe of ${name} is wrong`]),
    ...(container.resources.limits?.["memory"] === undefined ? [`${name} has no limit of memory`] : []),
    ...(container.image === "headwater" ? [] : [`${name} runs ${container.image}`]),
  ];
}

it("every shared variable is one that a process reads", () => {
  const known = new Set([...read.values()].flatMap((options) => [...options.keys()]));
  expect(Object.keys(shared).filter((variable) => !known.has(variable))).toEqual([]);
});
