# syntax=docker/dockerfile:1.7
# One image, one binary: the subcommand says which service a container is.

FROM rust:1.95.0-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libssl-dev make perl pkg-config python3 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --package vigie --bin vigie \
    && install -D target/release/vigie /out/bin/vigie

# ONNX Runtime is loaded at run time: the library of the pinned wheel, checked by its digest.
FROM python:3.12-slim-bookworm AS onnxruntime
COPY docker/onnxruntime.txt /tmp/onnxruntime.txt
RUN pip download --no-cache-dir --no-deps --only-binary=:all: --require-hashes -d /tmp/wheel -r /tmp/onnxruntime.txt \
    && python -m zipfile -e /tmp/wheel/onnxruntime-*.whl /tmp/onnxruntime \
    && install -D /tmp/onnxruntime/onnxruntime/capi/libonnxruntime.so.* /out/lib/libonnxruntime.so

FROM debian:bookworm-slim AS runtime
# libstdc++ for ONNX Runtime, libssl for librdkafka; the certificates for the sources on the web.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libgcc-s1 libssl3 libstdc++6 tzdata \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 vigie \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/vigie --create-home --shell /usr/sbin/nologin vigie
COPY --from=build /out/bin/vigie /opt/vigie/bin/vigie
COPY --from=onnxruntime /out/lib/ /opt/vigie/lib/
COPY --from=build /src/models /opt/vigie/models
COPY --chmod=0755 docker/healthcheck /opt/vigie/bin/healthcheck
WORKDIR /opt/vigie
ENV PATH=/opt/vigie/bin:$PATH \
    ORT_DYLIB_PATH=/opt/vigie/lib/libonnxruntime.so \
    VIGIE_OPS_LISTEN=0.0.0.0:9464
USER 10001:10001
EXPOSE 8080 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["/opt/vigie/bin/healthcheck"]
ENTRYPOINT ["/opt/vigie/bin/vigie"]
CMD ["--help"]
