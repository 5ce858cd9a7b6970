# One image for all processes: the command is the file to run, such as cmd/projector/main.ts. Node runs TypeScript as it is, so nothing is built.
# The tag is exact, and the same Node that package.json brings for machines without it; whoever needs the same bytes for ever adds a digest.

FROM node:24.21.0-trixie-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Without scripts, since the image has Node: the package `node` would fetch it once more.
RUN npm ci --omit=dev --ignore-scripts --workspaces=false

FROM node:24.21.0-trixie-slim
RUN install --directory --owner=10001 --group=10001 /var/lib/headwater
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json LICENSE ./
COPY sdk/src sdk/src
COPY internal internal
COPY cmd cmd

# A process in a container is reached through its network, and keeps what it keeps in a volume.
ENV HEADWATER_HOST=0.0.0.0 \
    HEADWATER_STATE=/var/lib/headwater/state \
    HEADWATER_DATA=/var/lib/headwater/data

# A number, so that an orchestrator can tell that it is not root.
USER 10001:10001
EXPOSE 8080 50051 50052 50053 50054
STOPSIGNAL SIGTERM
# No shell in between: signals arrive.
ENTRYPOINT ["node"]
CMD ["cmd/headwater/main.ts", "--help"]
