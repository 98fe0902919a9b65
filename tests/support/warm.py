"""Do what dbt prepares at its first call, in the process from which commands are forked.

Importing this module parses the project once, so that commands find the code that dbt generates for
its classes. The parse result is not kept: it belongs to one profile, and every test has a warehouse
of its own.
"""

import os
import tempfile
import threading

from dbt.adapters.factory import reset_adapters
from dbt.cli.main import dbtRunner

from ingestion.settings import PROJECT_ROOT

PROJECT = str(PROJECT_ROOT / "dbt_project")

before = dict(os.environ)
with tempfile.TemporaryDirectory() as folder:
    os.environ["MEDALLION_DUCKDB_PATH"] = f"{folder}/none.duckdb"
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
assert threading.active_count() == 1, threading.enumerate()  # a fork does not copy other threads
