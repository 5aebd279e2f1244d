# A small image with an unprivileged user. Data are on the volume /data, sample files in /etc/mailchimp-worker.
# The base image is pinned by its digest, so that builds are repeatable. For a newer one: docker pull python:3.13-slim
FROM python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b AS build
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements.lock requirements-build.lock ./
RUN python -m venv --without-pip /opt/worker \
 && pip --python /opt/worker/bin/python install --no-deps --require-hashes --requirement requirements.lock \
 && pip install --no-deps --require-hashes --requirement requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY worker ./worker
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && pip --python /opt/worker/bin/python install --no-deps --no-index /wheels/*.whl

FROM python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b
LABEL org.opencontainers.image.title="mailchimp-worker" \
      org.opencontainers.image.description="Keeps billmywork's customers in their Mailchimp lists, without ever putting back someone who left." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --gid 10001 worker \
 && useradd --uid 10001 --gid worker --no-create-home --home-dir /data --shell /usr/sbin/nologin worker \
 && install --directory --owner worker --group worker --mode 0700 /data
COPY --from=build /opt/worker /opt/worker
COPY config /etc/mailchimp-worker
ENV PATH=/opt/worker/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    WORKER_CONFIG=/etc/mailchimp-worker/worker.toml \
    WORKER_STAGING__PATH=/data/worker.db \
    WORKER_LOG__FORMAT=json
USER 10001:10001
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
# Asks the running worker by bash alone: the image has no curl, and a Python that starts each time takes a second of CPU.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${WORKER_WEB__PORT:-8080} && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r -t 8 _ status _ <&3 && [ \"$status\" = 200 ]"]
ENTRYPOINT ["python", "-m", "worker"]
CMD ["run"]
