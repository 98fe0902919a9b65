"""Let a DuckDB connection read the lake's storage.

Each cloud's SDK finds its own credentials. They stay in this connection's memory: no statement has
one in its text, and no database file stores one.
"""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb

from ingestion.errors import MedallionError, first_line
from ingestion.formats.duckdb_sql import text_sql

# The DuckDB extensions for each kind of storage. For Google, DuckDB takes only keys of the S3 kind,
# which users with Google's own credentials do not have; there, DuckDB reads through fsspec.
EXTENSIONS: dict[str, tuple[str, ...]] = {"s3": ("httpfs", "aws"), "az": ("azure",)}
SECRET = "medallion_lake"  # noqa: S105  (its name)
# All settings are global: an extension's setting would otherwise hold for this cursor only.
S3_NAMES = "set global s3_url_compatibility_mode = true"  # a ? or a * is part of a name
# The default finds no certificates on Debian: https://github.com/duckdb/duckdb-azure/issues/185
AZURE_TRANSPORT = "set global azure_transport_option_type = 'curl'"
# Objects of a lake never change, so what DuckDB has cached of one stays valid.
NEVER_CHANGING = (
    "set global enable_http_metadata_cache = true",
    "set global parquet_metadata_cache = true",
)


@dataclass(frozen=True)
class Extension:
    """One DuckDB extension; ``path`` is its file if a Python package brought it."""

    name: str
    path: Path | None

    @property
    def origin(self) -> str:
        """Where it comes from, as text for a message."""
        if self.path:
            return f"{self.name}: the package duckdb-extension-{self.name}"
        return f"{self.name}: DuckDB's own repository, by the network where it is not installed yet"


def extensions(lake_url: str) -> list[Extension]:
    """The DuckDB extensions that reading this lake needs."""
    return [_find(name) for name in EXTENSIONS.get(urlsplit(lake_url).scheme, ())]


def attach_lake(connection: duckdb.DuckDBPyConnection, lake_url: str) -> None:
    """Let the connection read the lake; a folder needs nothing.

    Raises ``MedallionError`` where an extension or credentials are missing.
    """
    scheme = urlsplit(lake_url).scheme
    if scheme == "file":
        return
    for extension in extensions(lake_url):
        _load(connection, extension)
    for statement in NEVER_CHANGING:
        connection.execute(statement)
    try:
        if scheme == "s3":
            _attach_s3(connection)
        elif scheme == "az":
            _attach_azure(connection)
        elif not connection.filesystem_is_registered(scheme):  # the publications may be there too
            _attach_google(connection)
    except duckdb.Error as exc:
        reason = " ".join(str(exc).split())
        raise MedallionError(
            f"DuckDB finds no credentials for {lake_url} ({reason})."
            " Which variables it asks for is in docs/reading.md."
        ) from None


def connect_sql(lake_url: str) -> list[str]:
    """The statements that a user's DuckDB session needs to read the lake; hold no credentials."""
    scheme = urlsplit(lake_url).scheme
    found = [f"install {name}; load {name}" for name in EXTENSIONS.get(scheme, ())]
    if scheme == "s3":
        return [*found, S3_NAMES, _s3_secret()]
    if scheme == "az":
        return [
            *found,
            AZURE_TRANSPORT,
            "-- or with (type azure, connection_string '...')\n"
            f"create or replace secret {SECRET} (type azure, provider credential_chain,"
            " account_name 'the name of the storage account')",
        ]
    if scheme == "gs":
        return [
            "install httpfs; load httpfs",
            "-- an HMAC key, from the settings of Cloud Storage; in Python, register_filesystem(\n"
            "-- gcsfs.GCSFileSystem()) does without\n"
            f"create or replace secret {SECRET} (type gcs, key_id '...', secret '...')",
        ]
    return []


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load one of DuckDB's extensions; raises ``MedallionError`` where that is not possible."""
    _load(connection, _find(name))


def _find(name: str) -> Extension:
    found = find_spec(f"duckdb_extension_{name}")
    for folder in (found and found.submodule_search_locations) or ():
        # an extension loads only in the DuckDB version that it was built for
        built = f"v{duckdb.__version__}/{name}.duckdb_extension"
        path = Path(folder) / "extensions" / built
        if path.exists():
            return Extension(name, path)
    return Extension(name, None)


def _load(connection: duckdb.DuckDBPyConnection, extension: Extension) -> None:
    try:
        if extension.path:
            connection.execute(f"load {text_sql(str(extension.path))}")
        else:
            connection.execute(f"install {extension.name}; load {extension.name}")
    except duckdb.Error as exc:
        raise MedallionError(
            f"DuckDB's extension {extension.name} could not be loaded"
            f" ({first_line(exc)}). Install it from PyPI:"
            f" uv pip install duckdb-extension-{extension.name}=={duckdb.__version__}"
        ) from exc


def _attach_s3(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(S3_NAMES)
    connection.execute(_s3_secret())


def _s3_secret() -> str:
    options = ["provider credential_chain", "refresh auto"]
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint:
        parts = urlsplit(endpoint)
        options += [
            f"endpoint {text_sql(parts.netloc.rpartition('@')[2] + parts.path.rstrip('/'))}",
            "url_style 'path'",
            f"use_ssl {'true' if parts.scheme == 'https' else 'false'}",
        ]
        region = region or "us-east-1"
    if region:
        options.append(f"region {text_sql(region)}")
    return f"create or replace secret {SECRET} (type s3, {', '.join(options)})"


def _attach_azure(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(AZURE_TRANSPORT)
    known = _azure_options()
    options = []
    try:
        for option, value in known.items():
            connection.execute(f"set variable medallion_{option} = $1", [value])
            options.append(f"{option} getvariable('medallion_{option}')")
        if "connection_string" not in known:
            principal = "client_secret" in known
            options.append(
                "provider service_principal" if principal else "provider credential_chain"
            )
        connection.execute(f"create or replace secret {SECRET} (type azure, {', '.join(options)})")
    finally:
        for option in known:
            connection.execute(f"reset variable medallion_{option}")


def _azure_options() -> dict[str, str]:
    """DuckDB's secret options from Azure's variables, read as fsspec's file system reads them."""

    def named(name: str) -> str | None:
        return os.environ.get(f"AZURE_STORAGE_{name}") or None

    account = named("ACCOUNT_NAME")
    connection = named("CONNECTION_STRING")
    if not connection and account and (key := named("ACCOUNT_KEY")):
        connection = (
            f"DefaultEndpointsProtocol=https;AccountName={account};AccountKey={key};"
            "EndpointSuffix=core.windows.net"
        )
    if not connection and account and (token := named("SAS_TOKEN")):
        connection = (
            f"BlobEndpoint=https://{account}.blob.core.windows.net;"
            f"SharedAccessSignature={token.removeprefix('?')}"
        )
    if connection:
        return {"connection_string": connection}
    options = {"account_name": account}
    principal = {name: named(name.upper()) for name in ("tenant_id", "client_id", "client_secret")}
    if all(principal.values()):
        options |= principal
    return {name: value for name, value in options.items() if value}


def _attach_google(connection: duckdb.DuckDBPyConnection) -> None:
    # slow, and only for Google
    from ingestion.object_stores.file_systems import file_system_class, file_system_options

    file_system: Any = file_system_class("gs")

    class ExactReads(file_system):  # type: ignore[misc]
        """Reads without read-ahead: DuckDB asks for exactly the ranges that it needs."""

        def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
            return super().open(path, mode, **{"cache_type": "none"} | options)

    connection.register_filesystem(ExactReads(**file_system_options("gs")))
