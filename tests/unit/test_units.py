"""The files in ``deploy/systemd``, as systemd reads them."""

import shutil
import subprocess

import pytest

from ingestion.settings import PROJECT_ROOT

UNITS = PROJECT_ROOT / "deploy" / "systemd"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_finds_nothing_to_complain_of() -> None:
    units = sorted(map(str, UNITS.iterdir()))
    command = ["systemd-analyze", "verify", "--man=no", *units]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # the programs are there only on a machine on which the project is installed
    rest = [line for line in done.stderr.splitlines() if "is not executable: No such" not in line]
    assert rest == []
    assert len(units) == 6
