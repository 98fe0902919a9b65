"""The rules of the house that tools can check: style, types, direction of imports, SQL."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports"],
        ["sqlfluff", "lint", "dbt_project/models", "dbt_project/tests", "dbt_project/macros"],
    ],
    ids=" ".join,
)
def test_tool_finds_nothing(command: list[str], tmp_path: Path) -> None:
    env = {
        **os.environ,
        "DBT_TARGET_PATH": str(tmp_path / "target"),
        "DBT_LOG_PATH": str(tmp_path / "logs"),
    }
    done = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
