"""Earlier releases of this project, as they were committed."""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from ingestion.settings import PROJECT_ROOT

# The last commit before records and warehouses had a format version.
BEFORE_FORMATS = "6e2d4e1240fe2117d48fc96263f1ed925b727136"


def unpack(commit: str, folder: Path) -> Path:
    """Write the project as of a commit into a folder; skip the test if git lacks the commit."""
    archived = subprocess.run(
        ["git", "archive", "--format=tar", commit], cwd=PROJECT_ROOT, capture_output=True
    )
    if archived.returncode:
        pytest.skip(f"this clone does not have the commit {commit[:7]}: git fetch --unshallow")
    with tarfile.open(fileobj=BytesIO(archived.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder
