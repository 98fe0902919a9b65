"""The job among variables and files of other projects: what is built is what is always built.

The clock is set back by variables, too.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from ingestion.settings import PROJECT_ROOT
from tests.faults.commands import variables
from tests.faults.conftest import Tally
from tests.faults.jobs import Night, copy_of
from tests.faults.kills import compared
from tests.support.processes import run_command

pytestmark = pytest.mark.slow

# by tool: what a CI server, a shell profile or another project may have set
VARIABLES = {
    "dlt": {
        "DEV_MODE": "true",
        "FULL_REFRESH": "true",
        "REFRESH": "drop_sources",
        "RESTORE_FROM_DESTINATION": "true",
        "PIPELINES_DIR": "/nowhere",
        "PROGRESS": "log",
        "DATASET_NAME": "elsewhere",
        "DESTINATION__DATASET_NAME_LAYOUT": "theirs_%s",
        "SCHEMA__NAMING": "snake_case",
        "NORMALIZE__LOADER_FILE_FORMAT": "jsonl",
        "NORMALIZE__WORKERS": "9",
        "NORMALIZE__START_METHOD": "spawn",
        "LOAD__DELETE_COMPLETED_JOBS": "true",
        "LOAD__RAISE_ON_FAILED_JOBS": "true",
        "LOAD__TRUNCATE_STAGING_DATASET": "true",
        "DATA_WRITER__FILE_MAX_ITEMS": "1",
        "EXTRACT__MAX_PARALLEL_ITEMS": "1",
        "SOURCES__MAX_TABLE_NESTING": "0",
        "RUNTIME__LOG_LEVEL": "DEBUG",
        "RUNTIME__LOG_FORMAT": "JSON",
        "DLT_PROJECT_DIR": "/nowhere",
        "DLT_DATA_DIR": "/nowhere",
        "DLT_CONFIG_FOLDER": "theirs",
    },
    "dbt": {
        "DBT_EMPTY": "true",
        "DBT_SAMPLE": "1 day",
        "DBT_FULL_REFRESH": "true",
        "DBT_DEFER": "true",
        "DBT_STATE": "/nowhere",
        "DBT_PROJECT_DIR": "/nowhere",
        "DBT_PROFILES_DIR": "/nowhere",
        "DBT_PROFILE": "theirs",
        "DBT_TARGET": "theirs",
        "DBT_TARGET_PATH": "/nowhere",
        "DBT_LOG_PATH": "/nowhere",
        "DBT_LOG_LEVEL": "debug",
        "DBT_LOG_FORMAT": "json",
        "DBT_SINGLE_THREADED": "true",
        "DBT_WARN_ERROR": "true",
        "DBT_FAIL_FAST": "true",
        "DBT_STORE_FAILURES": "true",
        "DBT_INDIRECT_SELECTION": "empty",
        "DBT_RESOURCE_TYPES": "seed",
        "DBT_EXCLUDE_RESOURCE_TYPES": "model test",
        "DBT_STATIC": "true",
        "DBT_WRITE_JSON": "false",
        "DBT_PARTIAL_PARSE": "false",
        "DBT_USE_EXPERIMENTAL_PARSER": "true",
        "DBT_QUIET": "true",
        "DBT_DEBUG": "true",
        "DBT_INTROSPECT": "false",
        "DBT_CACHE_SELECTED_ONLY": "true",
        "DBT_POPULATE_CACHE": "false",
        "DBT_EVENT_TIME_START": "2020-01-01",
        "DBT_EVENT_TIME_END": "2020-01-02",
    },
    "fsspec": {"FSSPEC_FILE_AUTO_MKDIR": "false", "FSSPEC_FILE": '{"skip_instance_cache": true}'},
    "Python": {
        "PYTHONOPTIMIZE": "2",
        "PYTHONWARNINGS": "error",
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": "ascii",
        "PYTHONHASHSEED": "7",
        "PYTHONDONTWRITEBYTECODE": "1",
    },
    "the system": {
        "TZ": "Pacific/Apia",
        "LANG": "tr_TR",
        "LC_ALL": "C",
        "COLUMNS": "20",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "CI": "true",
    },
    "Prefect": {
        "PREFECT_API_URL": "http://127.0.0.1:9/api",
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
        "PREFECT_LOGGING_LEVEL": "DEBUG",
    },
}
FILES = {
    "dlt": {
        ".dlt/config.toml": "dev_mode = true\n[schema]\nnaming = 'snake_case'\n",
        ".dlt/secrets.toml": "[[[this is no TOML",
    },
    "dbt": {
        "dbt_project.yml": "name: theirs\nprofile: theirs\n",
        "profiles.yml": "theirs: {target: dev, outputs: {dev: {type: none}}}\n",
    },
    "fsspec": {".config/fsspec/theirs.json": '{"file": {"auto_mkdir": false}}'},
    "Python": {
        "dbt.py": "raise SystemExit('another dbt.py')",
        "duckdb.py": "raise SystemExit('another duckdb.py')",
        "dlt/__init__.py": "raise SystemExit('another dlt')",
    },
}


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, plain_night: Path) -> Night:
    """DuckDB over a folder; one night behind it, another to come."""
    return copy_of(plain_night, tmp_path_factory.mktemp("environment"))


def test_other_projects_do_not_steer_the_job(
    night: Night, at_length: bool, tmp_path: Path, tally: Tally
) -> None:
    """Those of all tools at once; at length also those of each tool, which tells who steers it.

    In the short version, this run also has a clock that is set back, and comes after a dbt that
    builds no empty month.
    """
    if at_length:
        for number, together in enumerate([list(VARIABLES), *([tool] for tool in VARIABLES)]):
            night.job.put_back()
            counts = run_among(night, tmp_path / str(number), together)
            tally(f"other projects' variables and files ({', '.join(together)})", **counts)
        return
    night.job.put_back()
    is_told = dbt_tells_of_empty_months(night, tmp_path)
    clock = clock_set_back()
    began = time.monotonic()
    counts = run_among(night, tmp_path / "home", list(VARIABLES), clock)
    seconds = time.monotonic() - began
    tally("dbt alone with --empty", silent=int(not is_told), **counts, seconds=seconds)
    tally(f"other projects' variables and files ({', '.join(VARIABLES)})", **counts)
    if clock:
        counts, seconds = night.is_done()
        tally("clock set back", **counts, seconds=seconds)


def run_among(
    night: Night, folder: Path, tools: list[str], also: Mapping[str, str] = MappingProxyType({})
) -> dict[str, int]:
    """Run the job among the variables and files of these tools; rows lost, doubled and wrong."""
    hostile = dict(also)
    for tool in tools:
        hostile |= VARIABLES[tool]
        for name, text in FILES.get(tool, {}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [Path(sys.executable).with_name("medallion"), "run", "-q"],
        cwd=folder,
        env=os.environ | variables(night.job.settings) | {"HOME": str(folder)} | hostile,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{tools}: {done.stderr[-3000:]}"
    assert night.job.left() == night.left
    made = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert made <= {name for tool in tools for name in FILES.get(tool, ())}, made
    return compared(night.marts, night.job.marts())


def test_dbt_by_itself_builds_no_empty_month(
    night: Night, at_length: bool, tmp_path: Path, tally: Tally
) -> None:
    if not at_length:
        pytest.skip("tried with the variables of all tools")
    night.job.put_back()
    is_told = dbt_tells_of_empty_months(night, tmp_path)
    counts, seconds = night.is_done()
    tally("dbt alone with --empty", silent=int(not is_told), **counts, seconds=seconds)


def dbt_tells_of_empty_months(night: Night, folder: Path) -> bool:
    """Whether a dbt that is run by hand, and is to leave out all rows, fails and says why."""
    places = {"DBT_TARGET_PATH": str(folder / "target"), "DBT_LOG_PATH": str(folder / "logs")}
    environment = os.environ | variables(night.job.settings) | places | {"DBT_EMPTY": "true"}
    done = run_command("dbt.cli.main", ["run"], PROJECT_ROOT / "dbt_project", environment)
    return done.code != 0 and "--empty (DBT_EMPTY) builds months without rows" in done.stdout


def test_a_clock_that_is_set_back(night: Night, at_length: bool, tally: Tally) -> None:
    if not at_length:
        pytest.skip("tried with the variables of all tools")
    clock = clock_set_back()
    if not clock:
        pytest.skip("the clock is set by Debian's libfaketime")
    night.job.put_back()
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "run", "-q"],
        env=os.environ | variables(night.job.settings) | clock,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counts, seconds = night.is_done()
    tally("clock set back", **counts, seconds=seconds)


def clock_set_back() -> dict[str, str]:
    """The variables of a process whose clock is late; none where the library is not installed."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        return {}
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": "-40d",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # a mend of waits for old versions of glibc; by it, threads of Python that wait for each
        # other do not sleep: https://github.com/wolfcw/libfaketime/blob/master/README
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }
