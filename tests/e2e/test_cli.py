"""The command line: exit codes, one clear line for each foreseeable fault, results on stdout."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import prometheus_client.openmetrics.parser as openmetrics
import pyarrow.parquet as pq
import pytest

from ingestion.lake.file_version import CATALOG_DIR
from ingestion.settings import PROJECT_ROOT
from orchestration.job.under_way import run_under_way
from tests.conftest import settings_in
from tests.e2e.conftest import Place
from tests.support.ports import free_port
from tests.support.processes import wait_until
from tests.support.samples import publish_part
from tests.support.trips import publish, trips


@pytest.fixture(scope="module")
def green(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place with the green months of the sample."""
    place = Place(tmp_path_factory.mktemp("green"))
    publish_part(place.published)
    place.medallion("run", "--dataset", "green", "--quiet")
    return place


def one_line(place: Place) -> str:
    """The error of the last command: one line, and no traceback."""
    lines = [line for line in place.last_stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in place.last_stderr
    assert len(lines) == 1, place.last_stderr
    return lines[0]


def test_help_names_every_command_and_their_options(place: Place) -> None:
    text = place.run("orchestration.cli", "--help", anew=True)
    commands = [
        "run",
        "land",
        "load",
        "transform",
        "audit",
        "status",
        "history",
        "verify",
        "explain",
        "query",
        "doctor",
    ]
    for command in commands:
        assert command in text
        assert place.medallion(command, "--help")


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--from", "2024-13"],
        ["run", "--from", "2024-02", "--to", "2024-01"],
        ["run", "--dataset", "purple"],
        ["run", "--as-of", "yesterday"],
        ["run", "--republish"],
        ["backfill", "--from=2023-01", "--to=2023-02", "--sample", "--deployment"],
        ["backfill", "--from=2023-01", "--to=2023-02", "--target=postgres", "--deployment"],
        ["history", "green", "1"],
        ["history", "green"],
        ["prune", "--older-than=800000"],
        ["query"],
        ["query", "select '\udce9'"],
        ["withdraw", "green", "2024-01", "--reason=caf\udce9"],
        ["nonsense"],
    ],
    ids=lambda arguments: ascii(" ".join(arguments)),
)
def test_wrong_usage_exits_with_2(place: Place, arguments: list[str]) -> None:
    place.medallion(*arguments, expect=2)
    assert "Traceback" not in place.last_stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MEDALLION_TLC_URL", "ftp://secret-host/"),
        ("MEDALLION_TARGET", "oracle-secret"),
        ("MEDALLION_LAKE_URL", "http://secret/"),
        ("MEDALLION_DUCKDB_MEMORY_LIMIT", "secretly much"),
    ],
)
def test_a_wrong_setting_is_named_and_its_value_is_not(
    place: Place, variable: str, value: str
) -> None:
    place.env[variable] = value
    place.medallion("run", expect=2)
    line = one_line(place)
    assert variable in line
    assert "secret" not in line


def test_a_folder_that_is_not_there_is_wrong_usage(place: Place) -> None:
    place.env["MEDALLION_TLC_URL"] = "file:///nowhere/at/all"
    place.medallion("run", expect=2)
    assert "/nowhere/at/all" in one_line(place)


def test_no_network_is_one_line(place: Place) -> None:
    place.env["MEDALLION_TLC_URL"] = "http://127.0.0.1:9"
    place.medallion("run", expect=1)
    assert "Cannot reach http://127.0.0.1:9/" in one_line(place)


def test_nothing_published_is_one_line(place: Place) -> None:
    place.medallion("run", expect=1)
    assert "Nothing is published at" in one_line(place)


def test_an_address_is_shown_as_it_is_given(place: Place) -> None:
    folder = place.folder / "[red]tlc[/b]"
    place.env["MEDALLION_TLC_URL"] = folder.as_uri().replace("%5B", "[").replace("%5D", "]")
    assert f"could not be asked: MEDALLION_TLC_URL: there is no folder {folder}" in (
        place.medallion("status")
    )
    publish(folder, "green", date(2024, 2, 1), trips("green", date(2024, 2, 1)))
    span = ("--dataset", "green", "--from", "2024-01", "--to", "2024-02")
    place.medallion("land", *span, expect=1)
    url = f"{place.env['MEDALLION_TLC_URL']}/trip-data/green_tripdata_2024-01.parquet"
    assert f"there is no {url}" in place.last_stderr


@pytest.mark.parametrize("command", ["audit", "query", "explain"])
def test_no_warehouse_yet_is_one_line_that_says_what_to_do(place: Place, command: str) -> None:
    argument = {"query": ["select 1"], "explain": ["220240100000000000"]}.get(command, [])
    place.medallion(command, *argument, expect=1)
    assert "medallion run" in one_line(place)


def test_no_warehouse_of_that_day_yet_is_one_line_that_says_what_to_do(place: Place) -> None:
    place.medallion("audit", "--as-of", "2024-05-01", expect=1)
    assert "medallion run --as-of 2024-05-01" in one_line(place)


def test_no_version_of_a_month_is_wrong_usage(place: Place) -> None:
    place.medallion("history", "green", "2030-01", expect=2)
    assert "The lake holds no version of green 2030-01." in one_line(place)


def test_a_work_folder_that_cannot_be_made_is_one_line_for_the_sample_too(place: Place) -> None:
    (place.folder / "a file").touch()
    place.env["MEDALLION_WORK_DIR"] = str(place.folder / "a file" / "work")
    place.medallion("run", "--sample", expect=1)
    assert "a file/work/sample: Not a directory" in one_line(place)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk can only be mounted by root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("MEDALLION_LAKE_URL", "lake"),
        ("MEDALLION_WORK_DIR", "work"),
        ("MEDALLION_DUCKDB_PATH", "warehouse.duckdb"),
    ],
)
def test_a_full_disk_is_one_line_and_the_next_run_goes_on(
    place: Place, small_disk: Path, variable: str, name: str
) -> None:
    publish_part(place.published)
    place.env[variable] = str(small_disk / name)
    place.medallion("run", "--quiet", expect=1)
    line = one_line(place)
    assert "No space left" in line
    assert str(small_disk / name) in line
    if variable == "MEDALLION_WORK_DIR":
        return
    subprocess.run(
        ["mount", "-o", "remount,size=300m", str(small_disk)], check=True, capture_output=True
    )
    place.medallion("land", "--quiet")
    place.medallion("load", "--quiet")
    files = place.medallion_json("status")["files"]
    assert all(file["loaded"] for file in files if file["versions"])
    assert sum(file["versions"] for file in files) >= 6


Metrics = dict[tuple[str, ...], float]


def metrics_of(place: Place) -> Metrics:
    """The metrics of the last run, by name and label."""
    text = (place.folder / "work" / "metrics.prom").read_text()
    return {
        (
            sample.name.removeprefix("medallion_"),
            *(value for label, value in sample.labels.items() if label != "warehouse"),
        ): sample.value
        for family in openmetrics.text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.slow
def test_metrics_of_a_run_agree_with_its_report(green: Place) -> None:
    report = green.medallion_json("run", "--dataset", "green", "--quiet")
    found = metrics_of(green)
    assert found["run_success",] == 1
    assert found["last_good_run_timestamp_seconds",] >= found["run_start_timestamp_seconds",]
    assert found["ledger_files",] == report["files"]
    assert found["ledger_rows", "valid"] == report["valid"]
    assert found["ledger_rows", "flagged"] == sum(report["flagged"].values())
    assert (found["missing_files",], found["unbalanced_files",]) == (0, 0)
    assert found["run_published_files", "unchanged"] >= report["files"]
    assert (found["run_published_files", "new"], found["run_loaded_rows",]) == (0, 0)
    assert found["publisher_lag_days", "green"] == 0
    end_of_january = datetime(2025, 2, 1, tzinfo=UTC).timestamp()
    assert found["newest_month_end_timestamp_seconds", "green"] == end_of_january
    files = [p for p in green.lake.rglob("*") if p.is_file() and CATALOG_DIR not in p.parts]
    assert found["size_bytes", "lake"] == sum(p.stat().st_size for p in files)
    assert found["size_bytes", "warehouse"] == green.warehouse.stat().st_size
    stages = {key[1] for key in found if key[0] == "run_stage_duration_seconds"}
    assert stages == {"land", "load", "transform", "audit", "publish"}


def test_results_are_machine_readable(green: Place) -> None:
    report = green.medallion_json("run", "--dataset", "green", "--quiet")
    assert report["ledger_balances"] is True
    assert {f["outcome"] for f in green.medallion_json("land", "--dataset", "green")} == {
        "unchanged"
    }
    assert green.medallion_json("load") == []
    status = green.medallion_json("status", "--dataset", "green")
    assert [(f["versions"], f["loaded"], f["built"]) for f in status["files"]] == [
        (1, True, True)
    ] * 3
    assert status["last_run"]["succeeded"] is True
    assert all(f["fault"] is None for f in green.medallion_json("verify"))
    (version,) = green.medallion_json("history", "green", "2023-01")
    assert version["version"]["row_count"] == version["figures"]["rows"]
    assert (version["is_current"], version["changes"], version["fault"]) == (True, None, None)
    assert green.medallion_json("prune", "--older-than", "0") == {"dropped": False, "versions": []}
    assert all(c["good"] for c in green.medallion_json("doctor"))
    assert green.medallion_json("transform")["built"] is False
    assert green.medallion_json("audit")["unbalanced"] == []


@pytest.mark.parametrize(
    ("month", "named"),
    [
        ("2031-01", ["--dataset", "green"]),
        ("2005-01", ["--dataset", "green"]),
        ("2023-02", ["--dataset", "fhv"]),
        ("2031-01", []),
    ],
)
@pytest.mark.parametrize(
    "command", ["land", "load", "run", "backfill", "run --as-of 2100-01-01", "-m ingestion"]
)
def test_a_named_month_that_is_not_published_ends_with_1(
    command: str, month: str, named: list[str], green: Place
) -> None:
    span = [*named, "--from", month, "--to", month]
    if command == "-m ingestion":
        green.run("ingestion", *span, expect=1)
    else:
        green.medallion(*command.split(), *span, "--quiet", expect=1)
    faults = [line for line in green.last_stderr.splitlines() if line.startswith("error: ")]
    assert faults
    assert all(f" {month}" in fault for fault in faults)
    assert all(" ".join([*named[1:], month]) in fault for fault in faults)


def test_status_says_what_is_stale(green: Place) -> None:
    files = green.medallion_json("status")["files"]
    stale = {f["dataset"] for f in files if not f["versions"]}
    assert stale == {"yellow", "fhv", "fhvhv"}


@pytest.mark.parametrize("output", ["csv", "json", "parquet", "table"])
def test_query_writes_each_format(green: Place, output: str, tmp_path: Path) -> None:
    sql = (
        "select source_month, count(*) as n from marts.fct_trips where service = 'green'"
        " group by all order by 1"
    )
    process = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "query", sql, "--format", output],
        env=green.environment(),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
    )
    months = ["2023-01-01", "2023-02-01", "2025-01-01"]
    if output == "parquet":
        path = tmp_path / "result.parquet"
        path.write_bytes(process.stdout)
        assert [str(m) for m in pq.read_table(path)["source_month"].to_pylist()] == months
    elif output == "json":
        assert [row["source_month"] for row in json.loads(process.stdout)] == months
    else:
        lines = process.stdout.decode().splitlines()
        assert len(lines) == 4
        assert all(month in line for month, line in zip(months, lines[1:], strict=True))


def test_query_writes_each_digit_of_a_decimal(green: Place) -> None:
    sql = (
        "select 12345678901234567890.10::decimal(38, 2) as d, [0.10::decimal(3, 2)] as l, 0.5 as f"
    )
    written = green.medallion("query", sql, "--format", "json")
    assert '"d": 12345678901234567890.10,' in written
    assert json.loads(written, parse_float=Decimal) == [
        {"d": Decimal("12345678901234567890.10"), "l": [Decimal("0.10")], "f": Decimal("0.5")}
    ]
    assert green.medallion("query", sql, "--format", "csv").splitlines()[1:] == [
        "12345678901234567890.10,[0.10],0.5"
    ]


def test_query_is_read_only(green: Place) -> None:
    for writing in (
        "delete from marts.ledger",
        "select 1; delete from marts.ledger",
        f"copy (select 1) to '{green.folder / 'written'}'",
    ):
        green.medallion("query", writing, expect=2)
        assert "read-only" in one_line(green), writing
    assert not (green.folder / "written").exists()


@pytest.mark.parametrize("output", ["table", "parquet"])
def test_a_query_without_a_statement_is_one_line(green: Place, output: str) -> None:
    green.medallion("query", "/* nothing yet */", "--format", output, expect=2)
    assert "there is no statement in it" in one_line(green)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("select interval 1 day", "interval"),
        ("select if(i = 1999999, error('boom'), i) from range(2000000) t(i)", "boom"),
    ],
)
def test_a_result_that_cannot_be_parquet_is_one_line(green: Place, sql: str, reason: str) -> None:
    def fault() -> str:
        process = subprocess.run(
            [sys.executable, "-m", "orchestration.cli", "query", sql, "--format", "parquet"],
            env=green.environment(),
            cwd=Path(__file__).parents[2],
            capture_output=True,
        )
        assert process.returncode == 1
        (line,) = process.stderr.decode().splitlines()
        assert line.startswith("error: The result cannot be written as Parquet: ")
        return line

    line = fault()
    if "DuckDB does not say why; run it again" in line:  # now and then, of two threads
        line = fault()
    assert reason in line


def test_explain_leads_back_to_the_raw_row(green: Place) -> None:
    ((trip_id, total),) = green.query(
        "select trip_id, total_usd from marts.fct_trips"
        " where invalid_reason = 'refund' order by trip_id limit 1"
    )
    found = green.medallion_json("explain", str(trip_id))
    assert found["raw_row"]["total_amount"] == total
    assert found["rule"]["invalid_reason"] == "refund"
    assert found["source_url"].endswith("green_tripdata_2023-01.parquet")
    assert found["file_id"].startswith(found["table_name"][-8:])
    file = pq.read_table(green.published / "trip-data" / "green_tripdata_2023-01.parquet")
    row = file.slice(found["row_ordinal"], 1).to_pylist()[0]
    assert row["total_amount"] == total
    for unknown in ("220230199999999999", "120090100000000000", "999999999999999999"):
        green.medallion("explain", unknown, expect=2)
        assert f"There is no trip {unknown} in the facts" in one_line(green)


def test_explain_says_where_the_raw_table_is_gone(green: Place, tmp_path: Path) -> None:
    ((trip_id, month),) = green.query(
        "select trip_id, source_month from marts.fct_trips order by trip_id limit 1"
    )
    place = Place(tmp_path)
    shutil.copy(green.warehouse, place.warehouse)
    with duckdb.connect(place.warehouse) as connection:
        connection.execute("delete from raw.files where month = ?", [month])
    place.medallion("explain", str(trip_id), expect=1)
    line = one_line(place)
    assert f"green {month:%Y-%m} has a newer version" in line
    assert line.endswith("medallion run")


def test_verify_names_what_was_changed_behind_our_back(green: Place) -> None:
    (path,) = green.lake.glob("raw/green/green_tripdata_2023_01__*.parquet")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"!")
    green.medallion("verify", expect=1)
    assert path.name in one_line(green)
    assert f"restored raw/green/{path.name}" in green.medallion("verify", "--restore")
    assert path.read_bytes() == content
    green.medallion("verify")


def test_verify_names_a_record_that_was_deleted_behind_our_back(green: Place) -> None:
    (path,) = green.lake.glob("catalog/green/2023-01/*.json")
    content = path.read_bytes()
    path.unlink()
    green.medallion("verify", expect=1)
    assert "error: raw/green/green_tripdata_2023_01__" in one_line(green)
    assert "medallion land --dataset green --from 2023-01 --to 2023-01" in one_line(green)
    path.write_bytes(content)
    green.medallion("verify")


def test_history_without_a_month_asks_for_one(green: Place) -> None:
    green.medallion("history", "green", expect=2)
    assert one_line(green).endswith("say which one, as in medallion history green 2024-01")


@pytest.mark.slow
def test_a_store_where_nobody_listens_is_one_line(place: Place) -> None:
    """Though Google's file system logs what it raises, with its traceback."""
    publish_part(place.published)
    nobody = f"http://127.0.0.1:{free_port()}"
    place.env |= {"MEDALLION_LAKE_URL": "gs://lakes/lake", "STORAGE_EMULATOR_HOST": nobody}
    place.run("orchestration.cli", "land", "--quiet", expect=1, anew=True)
    assert "the store does not answer" in one_line(place)


def test_a_prefect_server_that_is_not_there_is_one_line(place: Place) -> None:
    place.env["PREFECT_API_URL"] = f"http://127.0.0.1:{free_port()}/api"
    place.run("orchestration.flows", expect=1)
    (line,) = place.last_stderr.splitlines()
    assert line.startswith("error: Prefect's server cannot be used: Failed to reach API at http:")


@pytest.mark.slow
def test_the_flow_runs_by_itself(place: Place) -> None:
    publish_part(place.published)
    for file in place.published.glob("trip-data/*"):
        if "green_tripdata_2023-01" not in file.name:
            file.unlink()
    place.env["MEDALLION_PUBLISH_URL"] = str(place.folder / "marts")
    night = place.start("orchestration.flows")

    def is_building() -> bool:
        found = run_under_way(settings_in(place.folder))
        return found is not None and (found.command, found.stage) == ("nightly", "transform")

    wait_until(is_building)
    _, stderr = night.communicate(timeout=600)
    assert night.returncode == 0, stderr
    assert place.query("select dataset, is_balanced from marts.ledger") == [("green", True)]
    found = metrics_of(place)
    assert (found["run_success",], found["ledger_files",]) == (1, 1)
    assert found["publisher_lag_days", "green"] == 0
    ((rows,),) = place.query("select sum(row_count) from raw.files where is_current")
    assert found["run_loaded_rows",] == rows
    assert found["run_published_files", "new"] >= 2
    assert found["publication_timestamp_seconds",] >= found["run_start_timestamp_seconds",] - 1
    stored = [path for path in (place.folder / "marts").rglob("*") if path.is_file()]
    marts = sum(path.stat().st_size for path in stored if path.suffix == ".parquet")
    everything = sum(path.stat().st_size for path in stored)
    assert marts <= found["size_bytes", "publications"] <= everything
    stages = {key[1] for key in found if key[0] == "run_stage_duration_seconds"}
    assert stages == {"ingest", "transform", "audit", "publish"}
    rules = (PROJECT_ROOT / "deploy" / "prometheus" / "medallion.rules.yml").read_text()
    names = set(re.findall(r"\bmedallion_(\w+)", rules))
    assert names
    assert names <= {key[0] for key in found}
