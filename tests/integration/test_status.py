"""Where files stand, as the publisher, the lake and the warehouse tell."""

from datetime import UTC, date, datetime
from pathlib import Path
from threading import Barrier

import pytest

from ingestion.errors import MedallionError
from ingestion.land import land
from ingestion.sources import registry
from ingestion.sources.files.publisher import months_between
from ingestion.warehouse import engine_for
from orchestration.cli.show_status import print_status
from orchestration.job.reading import reading
from orchestration.job.rollback import rollback
from orchestration.job.sources import source_statuses
from orchestration.job.status import Seen, status
from orchestration.job.under_way import only_run
from tests.conftest import MakeSettings
from tests.support.gold import AFTER, BEFORE, Gold
from tests.support.http_server import QuietHandler, on_loopback
from tests.support.trips import publish, trips
from tests.support.web import Web

MONTHS = months_between(date(2024, 1, 1), datetime.now(UTC).date())[-8:-2]


@pytest.mark.parametrize(
    ("start", "published"),
    [
        # the newest three, of which the last but one was withdrawn, begin with the third
        (None, [None, None, True, True, False, True]),
        (MONTHS[1], [True, True, True, False, True]),
    ],
)
def test_what_was_not_asked_about_is_not_said_to_be_unpublished(
    start: date | None,
    published: list[bool | None],
    web: Web,
    make_settings: MakeSettings,
    tmp_path: Path,
) -> None:
    settings = make_settings(tlc_url=web.url, report_url=f"{web.url}/report.csv")
    for dataset, month in [("yellow", MONTHS[-1]), *(("green", month) for month in MONTHS)]:
        path = publish(tmp_path / "made", dataset, month, trips(dataset, month))
        web.publish(f"trip-data/{path.name}", path)
    land(settings, ["green"], MONTHS[0], MONTHS[-1])
    web.withdraw(f"trip-data/green_tripdata_{MONTHS[-2]:%Y-%m}.parquet")
    found = status(settings, start=start).files
    assert [f.published for f in found if f.dataset == "green"] == published


def test_what_readers_see_is_told_and_a_rollback_is_called_one(
    make_settings: MakeSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gold = Gold(make_settings(publish_url=str(tmp_path / "gold")))
    label = engine_for(gold.settings).label
    good = gold.publish(BEFORE, label).publication
    assert status(gold.settings).publication == Seen(good.id, good.created_at, None, None)
    bad = gold.publish(AFTER, label).publication
    back = rollback(gold.settings, good.id)
    seen = status(gold.settings).publication
    assert seen is not None
    assert (seen.id, seen.restores, seen.hides) == (back.publication, good.id, bad.id)
    # the warehouse can be read meanwhile, so this stops nobody
    (gold.folder / "manifest.json").write_text("{")
    found = status(gold.settings)
    assert found.publication is None
    assert "manifest.json is no manifest" in (found.publication_error or "")
    print_status(found, False, None)
    assert "readers see: unknown: " in " ".join(capsys.readouterr().out.split())


def test_a_reader_says_that_the_publications_cannot_be_read(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    gold = Gold(make_settings(publish_url=str(tmp_path / "gold")))
    gold.publish(BEFORE, engine_for(gold.settings).label)
    gold.folder.rename(tmp_path / "aside")
    gold.folder.symlink_to(gold.folder)  # as a mount that has died, it can be listed by nobody
    with only_run(gold.settings):
        for read in (lambda: status(gold.settings), reading(gold.settings).__enter__):
            with pytest.raises(MedallionError, match="Cannot read the publications") as told:
                read()
            assert told.value.exit_code == 1
            assert "\n" not in str(told.value)
    gold.folder.unlink()
    (tmp_path / "aside").rename(gold.folder)
    with only_run(gold.settings), reading(gold.settings) as (engine, _):
        assert "publication" in engine.label


def test_the_sources_are_asked_side_by_side(make_settings: MakeSettings) -> None:
    names = ("tlc", "weather_csv", "tlc_documents")
    all_are_asked = Barrier(len(names), timeout=30)
    asked: set[str] = set()

    class Handler(QuietHandler):
        def do_HEAD(self) -> None:  # noqa: N802
            name = self.path.split("/")[1]
            if name not in asked:
                asked.add(name)
                all_are_asked.wait()  # one that is asked alone is not answered
            self.send_error(404)

        do_GET = do_HEAD  # noqa: N815

    with on_loopback(Handler) as url:
        addresses = {f"{name}_url": f"{url}/{name}" for name in names}
        found = source_statuses(make_settings(report_url=f"{url}/tlc/report", **addresses))
    assert asked == {*names}
    assert not all_are_asked.broken
    assert [s.name for s in found] == [*registry.sources()]
    assert not any(s.published for s in found if s.name in names)
