"""What ``medallion`` says of itself: its version, and its commands in groups."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from orchestration.cli import PANELS, app

ROOT = Path(__file__).parents[2]
RUNNER = CliRunner(env={"COLUMNS": "100", "NO_COLOR": "1"})
# what takes long to import, and no help needs
SLOW = ("dbt", "dlt", "duckdb", "prefect", "pyarrow", "pydantic")


def test_version_is_that_of_the_package() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    shown = RUNNER.invoke(app, ["--version"])
    assert (shown.exit_code, shown.stdout) == (0, f"medallion {declared}\n")


def test_help_shows_every_command_once_in_its_panel() -> None:
    shown = RUNNER.invoke(app, ["--help"])
    assert shown.exit_code == 0
    panels: dict[str, list[str]] = {}
    # GitHub's runners make rich write in bold
    for line in re.sub(r"\x1b\[[\d;]*m", "", shown.stdout).splitlines():
        if title := re.match(r"╭─ (.+?) ─", line):
            panels[title[1]] = []
        elif row := re.match(r"│ ([a-z][a-z-]*) ", line):
            panels[next(reversed(panels))].append(row[1])
    assert panels.pop("Options") == []
    assert panels == {
        title: [verb.__name__.replace("_", "-") for verb in verbs]
        for title, verbs in PANELS.items()
    } | {
        "Sources": ["sources", "source", "documents"],
        "Environments": ["check-change", "diff", "promote", "env"],
        "Upkeep": ["doctor", "watch", "prune", "setup-postgres", "spark"],
    }
    commands = [name for names in panels.values() for name in names]
    assert sorted(commands) == sorted(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_it_imports_nothing_slow(option: str, tmp_path: Path) -> None:
    script = f"""
import json, sys
from orchestration.cli import app
app([{option!r}], standalone_mode=False)
print(json.dumps([name for name in {SLOW!r} if name in sys.modules]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []
