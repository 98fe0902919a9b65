# One image for the Prefect server, the workers, the runs and the command line; see
# docs/operations.md. A lake on S3 needs more: --build-arg UV_EXTRAS="--extra s3".

FROM python:3.11-slim AS build
RUN pip install --no-cache-dir uv
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /app
ARG UV_EXTRAS=""
# what seldom changes comes first, and is built once
COPY pyproject.toml uv.lock ./
RUN uv sync --locked --no-dev --no-install-project $UV_EXTRAS
COPY . .
RUN uv sync --locked --no-dev $UV_EXTRAS

FROM python:3.11-slim
# as process 1: hands signals on, and buries processes that nobody waits for
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --create-home medallion \
    && install --directory --owner medallion --group medallion /data
COPY --from=build /app /app
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PREFECT_HOME=/data/prefect \
    PREFECT_SERVER_UI_STATIC_DIRECTORY=/data/prefect/ui \
    MEDALLION_PROJECT=/app \
    MEDALLION_LAKE_URL=/data/lake \
    MEDALLION_DUCKDB_PATH=/data/warehouse.duckdb \
    MEDALLION_WORK_DIR=/data/work
WORKDIR /app
# by number, so that Kubernetes sees that it is not root
USER 10001
# no command of ours before what is asked for: workers give the whole command
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["medallion", "--help"]
