"""Packages of npm that tests need, each installed once into a cache folder."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ingestion.locks import turn_with_file
from ingestion.progress import Quiet


def installed(package: str, version: str) -> Path:
    """The folder of a package; the first test that needs it installs it."""
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        pytest.skip(f"{package} needs node and npm: https://nodejs.org")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "medallion-tests" / f"{package}-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    with turn_with_file(folder / "install.lock", package, Quiet()):
        done = folder / "installed"
        if not done.exists():
            install = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder)]
            subprocess.run(
                [*install, f"{package}@{version}"], check=True, cwd=folder, capture_output=True
            )
            done.touch()
    return folder / "node_modules" / package
