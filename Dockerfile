# One image for the API, the workers and the migrations:
#   imagesvc serve      (the default)     imagesvc worker      imagesvc migrate
# It runs as a user of its own and writes nowhere but in /tmp and /dev/shm: a read-only root file system works.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
# What the service needs changes less often than the service: a layer of its own. Wheels only, each by its hash.
RUN python3 -m venv --without-pip /opt/imagesvc
COPY requirements/base.lock requirements/
RUN pip --python /opt/imagesvc/bin/python install --no-cache-dir --disable-pip-version-check \
      --require-hashes --no-deps --only-binary :all: -r requirements/base.lock
# What makes the wheel (hatchling and what it needs), as locked: it stays behind in this stage.
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
      org.opencontainers.image.description="Self-hosted image intake: every picture stored once, understood, and answered for" \
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
# a worker's is: healthy PORT /metrics, with IMAGESVC_WORKER_METRICS_PORT
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["healthy", "8000", "/livez"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["imagesvc"]
CMD ["serve"]
