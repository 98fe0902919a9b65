"""``python -m ingestion``: the pipelines by themselves."""

from datetime import date
from pathlib import Path

import pytest

from ingestion.__main__ import main
from ingestion.settings import Settings
from tests.support.trips import publish, trips

JANUARY = date(2024, 1, 1)


@pytest.fixture(autouse=True)
def named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names the test's own folders."""
    for name in ("tlc_url", "lake_url", "duckdb_path", "work_dir"):
        monkeypatch.setenv(f"MEDALLION_{name.upper()}", str(getattr(settings, name)))


def test_it_says_what_it_did_also_where_that_was_nothing(
    published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY))
    assert main([]) == 0
    assert "1 file looked at: 1 new; 1 version loaded, 20 rows\n" in capsys.readouterr().err
    assert main([]) == 0
    done = capsys.readouterr()
    assert done.err == "1 file looked at: 1 unchanged; 0 versions loaded, 0 rows\n"
    assert done.out == ""


def test_what_is_named_and_not_published_ends_with_1(
    published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY))
    assert main(["--dataset", "green", "--from", "2024-01", "--to", "2024-02"]) == 1
    said = capsys.readouterr().err
    assert "2 files looked at: 1 new, 1 failed; 1 version loaded, 20 rows\n" in said
    assert "error: green 2024-02 failed: it is not published" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "2024-1"], "'2024-1' is no month; write it as 2024-01"),
        (["--to", "2024-13"], "'2024-13' is no month"),
        (["--from", "2024-02", "--to", "2024-01"], "--from 2024-02 is after --to 2024-01"),
    ],
)
def test_what_is_no_month_is_wrong_usage(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
