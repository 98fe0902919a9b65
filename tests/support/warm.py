"""Do what dbt prepares at its first call, in the process from which commands are forked.

Importing this module parses the project once. So commands find the code that dbt generates for its
classes, and those on DuckDB begin with this parse result. By itself dbt parses anew for every path
of a warehouse, and every test has a warehouse of its own:
https://docs.getdbt.com/reference/parsing#known-limitations
"""

import os
import tempfile
import threading
from pathlib import Path

from dbt.adapters.factory import reset_adapters
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest
from dbt.parser.manifest import ManifestLoader, extended_mashumuro_decoder

from ingestion.settings import PROJECT_ROOT

PROJECT = str(PROJECT_ROOT / "dbt_project")
DATABASE = "warehouse"  # the name of most warehouses of tests, which every node of a manifest has

before = dict(os.environ)
with tempfile.TemporaryDirectory() as folder:
    os.environ["MEDALLION_DUCKDB_PATH"] = f"{folder}/{DATABASE}.duckdb"
    done = dbtRunner().invoke(
        [
            *("parse", "--project-dir", PROJECT, "--profiles-dir", PROJECT, "--target", "duckdb"),
            *("--target-path", folder, "--log-path", folder, "--log-level", "none"),
        ]
    )
    os.environ.clear()
    os.environ.update(before)
    reset_adapters()  # type: ignore[no-untyped-call]
    assert done.success, done.exception
    parsed = (Path(folder) / "partial_parse.msgpack").read_bytes()
assert threading.active_count() == 1, threading.enumerate()  # a fork does not copy other threads

read_own = ManifestLoader.read_manifest_for_partial_parse


def read_own_or_parsed(loader: ManifestLoader) -> Manifest | None:
    """What a command finds in its own folder, or what was parsed here if only the path differs."""
    found: Manifest | None = read_own(loader)
    project = loader.root_project
    credentials = project.credentials
    if (
        found is not None
        or (credentials.type, credentials.database) != ("duckdb", DATABASE)
        or project.project_root != PROJECT
        or project.cli_vars
    ):
        return found
    manifest = Manifest.from_msgpack(parsed, decoder=extended_mashumuro_decoder)
    manifest.state_check.profile_hash = loader.manifest.state_check.profile_hash
    manifest.state_check.vars_hash = loader.manifest.state_check.vars_hash
    usable, _ = loader.is_partial_parsable(manifest)
    return manifest if usable else None


ManifestLoader.read_manifest_for_partial_parse = read_own_or_parsed
