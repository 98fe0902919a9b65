"""The job among variables and files of other projects: what is built is what is always built."""

import os
import subprocess
import sys
from pathlib import Path

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
    # all at once; and each by itself, which tells which one does
    tools = [list(VARIABLES), *([tool] for tool in VARIABLES)] if at_length else [list(VARIABLES)]
    for number, together in enumerate(tools):
        night.job.put_back()
        folder = tmp_path / str(number)
        hostile = {}
        for tool in together:
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
        assert done.returncode == 0, f"{together}: {done.stderr[-3000:]}"
        counts = compared(night.marts, night.job.marts())
        tally(f"other projects' variables and files ({', '.join(together)})", **counts)
        assert night.job.left() == night.left
        made = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        assert made <= {name for tool in together for name in FILES.get(tool, ())}, made


def test_dbt_by_itself_builds_no_empty_month(night: Night, tmp_path: Path, tally: Tally) -> None:
    night.job.put_back()
    places = {"DBT_TARGET_PATH": str(tmp_path / "target"), "DBT_LOG_PATH": str(tmp_path / "logs")}
    environment = os.environ | variables(night.job.settings) | places | {"DBT_EMPTY": "true"}
    done = run_command("dbt.cli.main", ["run"], PROJECT_ROOT / "dbt_project", environment)
    is_told = done.code and "--empty (DBT_EMPTY) builds months without rows" in done.stdout
    counts, seconds = night.is_done()
    tally("dbt alone with --empty", silent=int(not is_told), **counts, seconds=seconds)
