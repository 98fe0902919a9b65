"""A source that the project does not know: one folder with a ``source.toml``, and nothing else."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import ingestion
from ingestion.errors import MedallionError, UsageError
from ingestion.lake.catalog import Catalog
from ingestion.land import Outcome, land
from ingestion.load import load
from ingestion.published import published_by_source
from ingestion.settings import PROJECT_ROOT, Settings, load_settings
from ingestion.sources import registry
from ingestion.try_source import try_source
from ingestion.warehouse import connect
from orchestration.job.pipeline import land_errors
from orchestration.job.status import status
from tests.support.declared import declare_source, settings_from
from tests.support.ports import free_port
from tests.support.processes import wait_until
from tests.support.web import serving

SOURCE = """
title = "The harbour"
url = "https://harbour.example"

[datasets.ferry_rides]
path = "rides/{month}-rides.csv"
first_month = "2024-01"
required = ["left_at", "Riders"]

[datasets.ferry_rides.columns]
left_at = "timestamp"
Pier = "text"
Riders = "bigint"
Fare = "double"
note = "text"

[datasets.piers]
path = "piers.csv"

[datasets.piers.columns]
Pier = "text"
Borough = "text"
"""
HEADER = "left_at,Pier,Riders,Fare,note\n"
JANUARY = HEADER + "2024-01-01 08:00:00,Wall St,12,3.75,\n2024-01-01 09:00:00,Red Hook,7,,late\n"
FEBRUARY = HEADER + "2024-02-01 08:00:00,Wall St,20,4.00,\n"


@pytest.fixture
def harbour(tmp_path: Path) -> Path:
    """The folder that publishes, with two months and a single file."""
    folder = tmp_path / "harbour published"
    (folder / "rides").mkdir(parents=True)
    (folder / "rides" / "2024-01-rides.csv").write_text(JANUARY)
    (folder / "rides" / "2024-02-rides.csv").write_text(FEBRUARY)
    (folder / "piers.csv").write_text("Pier,Borough\nWall St,Manhattan\nRed Hook,Brooklyn\n")
    return folder


@pytest.fixture
def environment(tmp_path: Path, harbour: Path) -> dict[str, str]:
    """What lets every command find the source, and where it is published."""
    return declare_source(tmp_path, "harbour", SOURCE, HARBOUR_URL=harbour.as_uri())


@pytest.fixture
def settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    return settings_from(environment, monkeypatch)


def rows(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with connect(settings, read_only=True) as session:
        return session.query(sql).rows


@pytest.mark.parametrize("raw", ["loaded", "in_place"])
def test_it_is_landed_loaded_and_read(
    raw: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(update={"raw": raw})
    report = land(settings, ["ferry_rides", "piers"])
    assert {f.published.name: f.outcome for f in report.files} == {
        "ferry_rides 2024-01": Outcome.NEW,
        "ferry_rides 2024-02": Outcome.NEW,
        "piers": Outcome.NEW,
    }
    assert {v.lake_path.partition("__")[0] for v in Catalog(settings.lake_url).versions()} == {
        "raw/ferry_rides/ferry_rides_2024_01",
        "raw/ferry_rides/ferry_rides_2024_02",
        "raw/piers/piers",
    }
    assert load(settings).failed == {}
    assert rows(
        settings,
        "select source_month, left_at, pier, riders, fare, note from harbour.ferry_rides"
        " order by left_at",
    )[:2] == [
        (date(2024, 1, 1), *_row("2024-01-01 08:00", "Wall St", 12, 3.75, None)),
        (date(2024, 1, 1), *_row("2024-01-01 09:00", "Red Hook", 7, None, "late")),
    ]
    assert rows(settings, "select count(*) from harbour.piers") == [(2,)]
    table = ingestion.dataset("ferry_rides", "2024-02", settings=settings).read_all()
    assert table.column("riders").to_pylist() == [20]
    again = land(settings, ["ferry_rides", "piers"])
    assert {f.outcome for f in again.files} == {Outcome.UNCHANGED}


def _row(left_at: str, *values: object) -> tuple[object, ...]:
    from datetime import datetime

    return (datetime.fromisoformat(left_at), *values)


def test_it_is_held_to_the_rules_of_every_source(settings: Settings, harbour: Path) -> None:
    (harbour / "rides" / "2024-02-rides.csv").write_text("left_at,Pier\n2024-02-01,Wall St\n")
    (harbour / "rides" / "2024-03_Rides.csv").write_text(FEBRUARY)
    report = land(settings, ["ferry_rides"])
    (distrusted,) = report.of(Outcome.QUARANTINED)
    assert distrusted.error == "it has no column Riders"
    assert Catalog(settings.lake_url).newest("ferry_rides", date(2024, 2, 1)) is not None
    missing = land(settings, ["ferry_rides"], date(2024, 4, 1), date(2024, 4, 1))
    assert [f.published.name for f in missing.of(Outcome.FAILED)] == ["ferry_rides 2024-04"]


def test_a_run_takes_it_when_it_is_named_or_enabled(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "harbour" not in [p.source.name for p in settings.publishers()]
    monkeypatch.setenv("MEDALLION_ENABLED_SOURCES", "harbour")
    assert [p.source.name for p in load_settings().publishers()] == ["harbour"]
    monkeypatch.setenv("MEDALLION_ENABLED_SOURCES", "harbor")
    with pytest.raises(UsageError, match=r"there is no source harbor; there are .*harbour"):
        load_settings()


def test_without_its_declaration_its_records_are_an_error_that_names_the_setting(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(settings, ["piers"])
    monkeypatch.delenv("MEDALLION_SOURCES")
    with pytest.raises(MedallionError, match="no source has 'piers'; is MEDALLION_SOURCES set"):
        _ = Catalog(settings.lake_url).landings


Medallion = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.slow
def test_every_verb_knows_it(environment: dict[str, str], tmp_path: Path) -> None:
    def medallion(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "orchestration.cli", *arguments],
            env={k: v for k, v in os.environ.items() if not k.startswith("MEDALLION_")}
            | environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    assert medallion("land", "--dataset", "ferry_rides", "--quiet").returncode == 0
    assert medallion("load", "--quiet").returncode == 0
    shown = medallion("status", "--dataset", "ferry_rides", "--json")
    assert [f["month"] for f in json.loads(shown.stdout)["files"]] == [
        "2024-01-01",
        "2024-02-01",
    ], shown.stderr
    assert medallion("history", "ferry_rides", "2024-01", "--quiet").returncode == 0
    assert medallion("verify", "--quiet").returncode == 0
    found = medallion("query", "--format", "csv", "select sum(riders) from harbour.ferry_rides")
    assert found.stdout.splitlines()[1:] == ["39"], found.stderr
    assert "harbour" in medallion("query", "show tables").stdout
    _is_listed_tried_and_scaffolded(medallion, tmp_path)


def _is_listed_tried_and_scaffolded(medallion: Medallion, tmp_path: Path) -> None:
    listed = {s["name"]: s for s in json.loads(medallion("sources", "--json").stdout)}
    harbour = listed["harbour"]
    assert (harbour["published"], harbour["landed"], harbour["stale"]) == (3, 3, 0)
    assert (harbour["kind"], harbour["enabled"], harbour["error"]) == ("files", False, None)
    tried = json.loads(medallion("source", "check", "harbour", "--json", "--quiet").stdout)
    assert [(t["item"], t["rows"], t["error"]) for t in tried] == [
        ("ferry_rides 2024-02", 1, None),
        ("piers", 2, None),
    ]
    assert ["Riders", "text", "bigint"] in tried[0]["columns"]
    listed_again = {s["name"]: s for s in json.loads(medallion("sources", "--json").stdout)}
    assert listed_again == listed, "nothing was landed"
    made = medallion("source", "scaffold", "harbour", "--out", str(tmp_path / "models"))
    assert made.stdout.count("written") == 4, made.stderr
    model = tmp_path / "models" / "harbour" / "stg_harbour__piers.sql"
    model.write_text("-- mine")
    assert made.stderr == ""
    again = medallion("source", "scaffold", "harbour", "--out", str(tmp_path / "models"))
    assert (again.returncode, again.stdout.count("kept")) == (0, 4)
    assert model.read_text() == "-- mine"
    unknown = medallion("source", "check", "harbor")
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("error: There is no source harbor; there are tlc, ")
    assert unknown.stderr.endswith(", harbour.\n")


def test_a_source_with_a_fault_is_one_line_and_the_others_are_tried(
    environment: dict[str, str], harbour: Path, settings: Settings
) -> None:
    for month in ("2024-01", "2024-02"):
        (harbour / "rides" / f"{month}-rides.csv").write_text("<html>busy</html>")
    rides, piers = try_source(settings, registry.sources()["harbour"])
    assert rides.error == "it has no column left_at, Riders (it is an HTML error page)"
    assert (piers.rows, piers.error) == (2, None)
    (harbour / "piers.csv").unlink()
    _, piers = try_source(settings, registry.sources()["harbour"])
    assert piers.error is not None
    assert piers.error.startswith("it is not published: nothing is at file://")


def test_a_source_that_cannot_be_asked_is_one_line_and_the_others_are_landed(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    away = {"ENABLED_SOURCES": "tlc,harbour", "TLC_URL": f"http://127.0.0.1:{port}"}
    settings = settings_from(
        environment | {f"MEDALLION_{name}": value for name, value in away.items()}, monkeypatch
    )
    report = land(settings)
    assert [f.outcome for f in report.files] == [Outcome.NEW] * 3
    (error,) = report.not_asked
    assert error.startswith(f"tlc: Cannot reach http://127.0.0.1:{port}/")
    assert land_errors(report) == [error]
    found = status(settings)
    assert (len(found.files), found.unreachable) == (3, error)
    # without another source the command fails, in the same words
    with pytest.raises(MedallionError, match=r"^Cannot reach "):
        land(settings, ["yellow"])
    run = subprocess.run(COMMANDS["pipelines"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr.count("error: ")) == (1, 1)
    assert f"error: {error}\n" in run.stderr


COMMANDS = {
    "medallion": [sys.executable, "-m", "orchestration.cli", "land"],
    "pipelines": [sys.executable, "-m", "ingestion"],
    "python": [
        *(sys.executable, "-c"),
        "import sys, ingestion; print(ingestion.dataset(sys.argv[2]).schema)",
    ],
    "flow": [
        *(sys.executable, "-c"),
        "import sys; from pydantic import TypeAdapter; from orchestration.tasks import Dataset;"
        "TypeAdapter(Dataset).validate_python(sys.argv[2])",
    ],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_dotenv_may_name_it_and_a_wrong_one_is_one_line(
    command: str, environment: dict[str, str], tmp_path: Path
) -> None:
    def run() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*COMMANDS[command], "--dataset", "piers"],
            env={k: v for k, v in os.environ.items() if not k.startswith("MEDALLION_")}
            | {"PYTHONPATH": str(PROJECT_ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    (tmp_path / ".env").write_text("".join(f"{k}='{v}'\n" for k, v in environment.items()))
    done = run()
    assert done.returncode == 0, done.stderr
    (tmp_path / ".env").write_text("MEDALLION_SOURCES=/nowhere\n")
    done = run()
    said = " ".join(done.stderr.replace("│", "").split())  # a box is drawn around wrong usage
    assert "MEDALLION_SOURCES: there is no folder /nowhere" in said
    if command in ("medallion", "pipelines"):  # the others raise it
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ('kind = "ftp"\n' + SOURCE, r"harbour/source.toml declares no source: kind: .*'files'"),
        (SOURCE.replace("https://", "ftp://"), "url: it starts with one of https://, http://"),
        (SOURCE.replace("https://", "https://me:secret@"), "url: it has no user and password"),
        (SOURCE.replace('"bigint"', '"int"'), r"datasets.ferry_rides.columns.Riders: "),
        (SOURCE.replace('"bigint"', '"date"'), "ferry_rides: columns: date is a type of Parquet"),
        (SOURCE.replace('"bigint"', '"decimal(40, 2)"'), "a decimal has at most 38 digits in all"),
        (SOURCE.replace('"Riders"]', '"Crew"]'), "ferry_rides.required: Crew is not among"),
        (SOURCE.replace("rides/{month}-", "rides/"), "path has {month} and first_month is given"),
        (SOURCE.replace("rides/{month}", "../{month}"), "ferry_rides.path: it is below"),
        (SOURCE.replace("-rides.csv", "-rides.xlsx"), "ferry_rides.path: it ends with one of"),
        (SOURCE.replace("note =", "pier ="), "ferry_rides.columns: two of them differ only"),
        (SOURCE.replace("piers]", "green]").replace("piers.col", "green.col"), "dataset green"),
        (SOURCE.replace("rides/{month}-rides", "{month}/rides"), "path: its file name has {month}"),
        (SOURCE.replace("note =", "file_key ="), "columns: every read view has a column file_key"),
        (
            SOURCE.replace("piers]", "order]").replace("piers.col", "order.col"),
            "order is a word of",
        ),
        (SOURCE.replace("first_month", 'request = "a?b"\nfirst_month'), "request is for one file"),
        (SOURCE.replace("first_month", 'request = "/a?b"\nfirst_month'), "request: it is below"),
        ("title = ", "cannot be read: .*Write it as TOML"),
        ("", "url: Field required"),
    ],
)
def test_what_is_declared_wrongly_is_told_by_file_and_key(
    wrong: str, words: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(environment["MEDALLION_SOURCES"])
    (folder / "harbour" / "source.toml").write_text(wrong)
    # a path of its own, for what was read once is kept
    monkeypatch.setenv("MEDALLION_SOURCES", f"{folder}/../{folder.name}/")
    with pytest.raises(UsageError, match=words) as fault:
        registry.datasets()
    assert "secret" not in str(fault.value)


@pytest.mark.parametrize("name", ["Harbour", "raw", "system", "order", "between", "pg_harbour"])
def test_a_source_is_called_what_a_schema_can_be(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "source.toml").write_text(SOURCE)
    monkeypatch.setenv("MEDALLION_SOURCES", str(tmp_path))
    with pytest.raises(UsageError, match=f"{name} cannot be a source's folder"):
        registry.sources()


def test_a_folder_without_a_source_is_no_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDALLION_SOURCES", str(tmp_path))
    with pytest.raises(UsageError, match=r"no folder in .* has a source.toml"):
        load_settings()
    monkeypatch.setenv("MEDALLION_SOURCES", str(tmp_path / "gone"))
    with pytest.raises(UsageError, match="MEDALLION_SOURCES: there is no folder"):
        load_settings()


def test_a_source_that_is_silent_lets_no_other_wait(
    environment: dict[str, str], harbour: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, serving() as web:

        def hang_up_when_the_other_was_asked() -> None:
            try:
                wait_until(lambda: web.requests, 20)
            finally:
                silent.close()

        for path in harbour.rglob("*.csv"):
            web.publish(str(path.relative_to(harbour)), path)
        away = {
            "MEDALLION_ENABLED_SOURCES": "tlc,harbour",
            "MEDALLION_TLC_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "MEDALLION_HARBOUR_URL": web.url,
        }
        settings = settings_from(environment | away, monkeypatch)
        with ThreadPoolExecutor(1) as beside:
            server = beside.submit(hang_up_when_the_other_was_asked)
            files, errors = published_by_source(
                settings, start=date(2024, 1, 1), end=date(2024, 2, 1)
            )
            server.result()
    assert len(errors) == 1
    assert [file.name for file in files] == ["ferry_rides 2024-01", "ferry_rides 2024-02", "piers"]
