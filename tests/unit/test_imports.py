"""What importing costs: nothing is opened, and what is slow or foreign stays out."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Imports every module twice: what third parties do when first imported is theirs, and over by the
# second time, when a hook notes what our own modules do.
EVERY_MODULE = """
import importlib, json, os, pkgutil, sys, threading
import ingestion

def everything():
    importlib.import_module("ingestion")
    found = pkgutil.walk_packages(ingestion.__path__, "ingestion.")
    return [importlib.import_module(m.name).__name__ for m in found]

everything()
third_parties = sorted({name.partition(".")[0] for name in sys.modules})
for name in [n for n in sys.modules if n.partition(".")[0] == "ingestion"]:
    del sys.modules[name]

events = []
CODE = (".py", ".pyc", ".so")
def hook(event, args):
    if event == "open" and not str(args[0]).endswith(CODE):
        events.append([event, str(args[0])])
    elif event.split(".")[0] in ("socket", "sqlite3", "subprocess", "shutil", "tempfile"):
        events.append([event, repr(args)])
    elif event in ("os.mkdir", "os.rename", "os.remove", "os.system", "os.fork"):
        events.append([event, repr(args)])
sys.addaudithook(hook)

descriptors = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
threads = threading.active_count()
modules = everything()
opened = (set(os.listdir("/proc/self/fd")) if descriptors else set()) - descriptors
print(json.dumps({
    "modules": modules,
    "third_parties": third_parties,
    "events": events,
    "opened": sorted(opened),
    "threads": threading.active_count() - threads,
}))
"""


def python(script: str, cwd: Path) -> Any:
    """What a script prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=cwd, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return python(EVERY_MODULE, tmp_path_factory.mktemp("cwd"))


def test_importing_opens_no_file_socket_or_database(imported: Any) -> None:
    assert {"ingestion.land", "ingestion.load", "ingestion.lake.destination"} <= set(
        imported["modules"]
    )
    assert imported["events"] == []
    assert imported["opened"] == []
    assert imported["threads"] == 0


def test_nothing_of_ingestion_imports_the_orchestrator_or_the_transformer(imported: Any) -> None:
    assert "dlt" in imported["third_parties"]
    assert not {"prefect", "dbt", "orchestration"} & set(imported["third_parties"])


def test_what_every_command_imports_leaves_dlt_alone(tmp_path: Path) -> None:
    names = (
        *("settings", "sources.registry", "sources.files.publisher", "land", "load"),
        *("lake.catalog", "warehouse", "formats.validate", "__main__"),
    )
    script = f"""
import importlib, json, sys
late = {{}}
for name in {names!r}:
    importlib.import_module("ingestion." + name)
    late[name] = [m for m in ("dlt", "pyarrow", "requests") if m in sys.modules]
print(json.dumps(late))
"""
    assert python(script, tmp_path) == {name: [] for name in names}
