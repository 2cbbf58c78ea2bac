# One image for the API, the workers and the migrations:
#   imagesvc serve      (the default)     imagesvc worker      imagesvc migrate
# It runs as a dedicated user and writes only to /tmp and /dev/shm, so the root file system can be read-only.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
# A separate layer, because dependencies change less often than the service. Wheels only, each verified by its hash.
RUN python3 -m venv --without-pip /opt/imagesvc
COPY requirements/base.lock requirements/
RUN pip --python /opt/imagesvc/bin/python install --no-cache-dir --disable-pip-version-check \
      --require-hashes --no-deps --only-binary :all: -r requirements/base.lock
# The build backend (hatchling and its dependencies) at locked versions; it stays in this build stage.
COPY requirements/dev.lock requirements/
RUN awk '/^[^ #]/ { keep = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } keep' requirements/dev.lock > requirements/build.lock \
 && python3 -m venv /opt/hatchling \
 && /opt/hatchling/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY src src
RUN /opt/hatchling/bin/pip wheel --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir /build/wheels . \
 && pip --python /opt/imagesvc/bin/python install --no-cache-dir --disable-pip-version-check --no-deps --no-index /build/wheels/*.whl

FROM ${BASE}
ARG VERSION=unknown
LABEL org.opencontainers.image.title="imagesvc" \
      org.opencontainers.image.description="Self-hosted image intake service: stores each distinct picture once, extracts metadata, makes renditions and scores" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
RUN groupadd --gid 10001 imagesvc \
 && useradd --uid 10001 --gid imagesvc --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin imagesvc
COPY --chmod=755 deploy/healthy /usr/local/bin/healthy
COPY --from=build /opt/imagesvc /opt/imagesvc
ENV PATH=/opt/imagesvc/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    IMAGESVC_HOST=0.0.0.0
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
# for a worker: healthy PORT /metrics, where PORT is IMAGESVC_WORKER_METRICS_PORT
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["healthy", "8000", "/livez"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["imagesvc"]
CMD ["serve"]
