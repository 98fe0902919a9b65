"""A source that a test declares, and the settings of a run that has it."""

from pathlib import Path

import pytest

from ingestion.settings import Settings, load_settings


def declare_source(folder: Path, name: str, toml: str, **variables: str) -> dict[str, str]:
    """Declare a source; return the variables of a run that has it, all in the test's folder.

    ``variables`` are more of them, without ``MEDALLION_``. Each call declares in a new folder,
    because a declaration is read once in a process.
    """
    declared = folder / f"sources {len(list(folder.iterdir()))}" / name
    declared.mkdir(parents=True)
    (declared / "source.toml").write_text(toml)
    values = {
        "SOURCES": str(declared.parent),
        "LAKE_URL": str(folder / "lake"),
        "DUCKDB_PATH": str(folder / "warehouse.duckdb"),
        "WORK_DIR": str(folder / "work"),
    }
    return {f"MEDALLION_{name}": value for name, value in (values | variables).items()}


def settings_from(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Set the environment variables, and load the settings that they give."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_settings()
