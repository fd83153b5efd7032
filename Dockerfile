# The image of `kafka-over-http serve`.
#
#   docker build -t kafka-over-http .
#   docker run -p 8082:8082 -e KOH_BOOTSTRAP_SERVERS=kafka:9092 kafka-over-http
#
# Runs as any user, on a read-only root filesystem, and writes no file. Needs a base with glibc and
# Python 3.11 or newer as `python3`, with venv; nothing is compiled, and the classic builder will do.
#
# Build arguments, all optional:
#   BASE_IMAGE      your own base, for instance with your certificate authority in it
#   PIP_INDEX_URL   a package index in place of PyPI
#   PIP_CERT        file in the base with the authorities that pip trusts
#                   (/etc/ssl/certs/ca-certificates.crt: those of the base, on any Debian)
# The last two are seen by the first stage alone and are no part of the image, nor of its history.
# `--label org.opencontainers.image.version=…` and `…revision=…` are for whoever publishes it.

ARG BASE_IMAGE=python:3.13-slim-bookworm


FROM ${BASE_IMAGE} AS build
ARG PIP_INDEX_URL
ARG PIP_CERT
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# pip stays in its own environment and installs into the one that is shipped.
RUN python3 -m venv /build/pip && python3 -m venv --without-pip /opt/kafka-over-http
WORKDIR /build/source

# The dependencies, a layer that lasts until they change. The pattern is for a constraints file that
# need not be there.
COPY pyproject.toml constraints.tx[t] ./
RUN python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
        > /build/requirements.txt \
    && touch constraints.txt \
    && /build/pip/bin/pip --python /opt/kafka-over-http/bin/python install --no-compile \
        --only-binary :all: -c constraints.txt -r /build/requirements.txt

COPY . .
RUN /build/pip/bin/pip wheel --no-deps --wheel-dir /build/wheel . \
    && /build/pip/bin/pip --python /opt/kafka-over-http/bin/python install --no-compile \
        --no-deps /build/wheel/*.whl \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/kafka-over-http


FROM ${BASE_IMAGE}
ARG BASE_IMAGE
LABEL org.opencontainers.image.title="kafka-over-http" \
      org.opencontainers.image.description="An HTTP proxy for Kafka: produce, consume and look around with nothing but HTTP" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
# No RUN from here on: one layer on the base, and nothing of the base is changed.
COPY --from=build /opt/kafka-over-http /opt/kafka-over-http
ENV PATH=/opt/kafka-over-http/bin:$PATH KOH_HOST=0.0.0.0
EXPOSE 8082
# A number, as Kubernetes' runAsNonRoot wants it; there need be no such user.
USER 65532:65532
STOPSIGNAL SIGTERM
# A bare socket: importing urllib takes 0.2 s of CPU where a base comes without bytecode.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/opt/kafka-over-http/bin/python", "-IS", "-c", "import os, socket; s = socket.create_connection(('127.0.0.1', os.environ.get('KOH_PORT') or 8082), 4); s.sendall(b'GET /live HTTP/1.0\\r\\n\\r\\n'); raise SystemExit(not s.recv(99).startswith(b'HTTP/1.1 200'))"]
ENTRYPOINT ["kafka-over-http"]
CMD ["serve"]
