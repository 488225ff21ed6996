# Three images of one wheel: operator, proxy, ledger. Each holds what its process imports, by hash, and no pip.
#
#   docker build --target proxy --tag byway/proxy:0.1.0 .
#
# For a build that is the same tomorrow, name the base by its digest: --build-arg BASE=debian:12-slim@sha256:…
# It is Debian because Debian's own Python runs this about 1.4 times as fast as a plain build (docs/performance.md).
ARG BASE=debian:12-slim

# hadolint ignore=DL3006
FROM ${BASE} AS python
# No versions: within Debian 12 these change for security alone, and pins would keep that out.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 tzdata \
    && rm -rf /var/lib/apt/lists/* /var/log/*
ENV PATH=/opt/byway/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /

FROM python AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml README.md LICENSE requirements.lock ./
COPY image image
RUN python3 -m venv /opt/make \
    && python3 -m venv --without-pip /opt/byway \
    && python3 image/pick.py hatchling > hatchling.txt \
    && /opt/make/bin/pip install --no-cache-dir --require-hashes --no-deps --requirement hatchling.txt
COPY contract contract
COPY process process
COPY operator operator
COPY proxy proxy
COPY ledger ledger
COPY cli cli
RUN /opt/make/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

FROM build AS build-operator
RUN python3 image/pick.py --extra operator > needs.txt \
    && /opt/make/bin/pip --python /opt/byway/bin/python install --no-cache-dir --require-hashes --no-deps \
        --requirement needs.txt \
    && /opt/make/bin/pip --python /opt/byway/bin/python install --no-cache-dir --no-index --no-deps /wheels/*.whl

FROM build AS build-proxy
RUN python3 image/pick.py --extra proxy > needs.txt \
    && /opt/make/bin/pip --python /opt/byway/bin/python install --no-cache-dir --require-hashes --no-deps \
        --requirement needs.txt \
    && /opt/make/bin/pip --python /opt/byway/bin/python install --no-cache-dir --no-index --no-deps /wheels/*.whl

FROM build AS build-ledger
RUN python3 image/pick.py --extra ledger > needs.txt \
    && /opt/make/bin/pip --python /opt/byway/bin/python install --no-cache-dir --require-hashes --no-deps \
        --requirement needs.txt \
    && /opt/make/bin/pip --python /opt/byway/bin/python install --no-cache-dir --no-index --no-deps /wheels/*.whl

FROM build AS build-test-provider
RUN python3 image/pick.py msgspec trustme > needs.txt \
    && /opt/make/bin/pip --python /opt/byway/bin/python install --no-cache-dir --require-hashes --no-deps \
        --requirement needs.txt

# The fake provider of our tests, for `make e2e` on a cluster that pulls images.
FROM python AS test-provider
COPY --from=build-test-provider /opt/byway /opt/byway
COPY tests/canary.py /opt/fakes/canary.py
COPY tests/fakes /opt/fakes/fakes
ENV PYTHONPATH=/opt/fakes
USER 65532:65532
ENTRYPOINT ["python", "-m", "fakes.provider"]

FROM python AS operator
LABEL org.opencontainers.image.title="byway operator" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-operator /opt/byway /opt/byway
USER 65532:65532
ENTRYPOINT ["python", "-m", "byway_operator"]
CMD ["cluster"]

FROM python AS ledger
LABEL org.opencontainers.image.title="byway ledger" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-ledger /opt/byway /opt/byway
USER 65532:65532
ENTRYPOINT ["python", "-m", "byway_ledger"]

FROM python AS proxy
LABEL org.opencontainers.image.title="byway proxy" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-proxy /opt/byway /opt/byway
USER 65532:65532
ENTRYPOINT ["python", "-m", "byway_proxy"]
