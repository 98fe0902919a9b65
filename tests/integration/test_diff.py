"""What differs between two publications: exact counts, whatever the files are like."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from ingestion.errors import MedallionError
from ingestion.publications.diff import Diff, Example, Rows, Side, TableDiff, Total, diff
from ingestion.publications.read import PublishedDuckDb, current
from ingestion.publications.storage import open_publications, seen_now
from ingestion.publications.write import swap_in, take_over
from orchestration.job.diff import keys
from orchestration.site.diff_page import page
from tests.conftest import MakeSettings
from tests.support.publications import Month, published, values
from tests.support.stores import Store

JANUARY, FEBRUARY = ("green", date(2024, 1, 1)), ("green", date(2024, 2, 1))
COLUMNS = ("id", "zone", "usd")
KEYS = {"days": ("id",)}

Marts = Mapping[str, Mapping[Month, str]]


@pytest.fixture
def compare(make_settings: MakeSettings, tmp_path: Path) -> "Compare":
    return Compare(make_settings, tmp_path)


class Compare:
    def __init__(self, make_settings: MakeSettings, folder: Path):
        self.settings, self._folder = make_settings(), folder

    def __call__(
        self, before: Marts, after: Marts, keys: Mapping[str, tuple[str, ...]] = KEYS
    ) -> Diff:
        sides = [
            published(self._folder / name, name, marts)
            for name, marts in (("before", before), ("after", after))
        ]
        return diff(self.settings, *sides, keys)

    def days(self, before: str, after: str, key: tuple[str, ...] = ("id",)) -> TableDiff:
        marts = ({"days": {JANUARY: rows}} for rows in (before, after))
        (table,) = self(*marts, {"days": key}).tables
        return table


def test_rows_of_one_key_are_one_changed_row(compare: Compare) -> None:
    found = compare.days(
        values(COLUMNS, (1, "a", "1.10"), (2, "b", "2.00"), (3, "c", "3.00")),
        values(COLUMNS, (3, "c", "3.00"), (1, "a", "1.20"), (4, "d", None)),
    )
    assert found.months == (Rows("green", date(2024, 1, 1), 3, 3, added=1, removed=1, changed=1),)
    assert (found.added, found.removed, found.changed) == (1, 1, 1)
    assert found.columns == {"usd": 1}
    assert [e.kind for e in found.examples] == ["changed", "added", "removed"]
    assert found.examples[0] == Example("changed", {"id": 1}, {"usd": "1.10"}, {"usd": "1.20"})
    assert found.examples[1].row["id"] == 4
    assert found.examples[2].row["id"] == 2


def test_sums_are_exact(compare: Compare) -> None:
    rows = "select range as id, 'a' as zone, (range / 100)::decimal(18, 2) as usd from range(1000)"
    found = compare.days(rows, rows.replace("range / 100", "(range + 1) / 100"))
    assert found.changed == 1000
    assert found.sums == {"usd": Total(Decimal("4995.00"), Decimal("5005.00"))}


def test_without_a_key_each_row_counts_as_often_as_it_is_there(compare: Compare) -> None:
    a, b = (1, "a", 1), (1, "b", 1)
    found = compare.days(values(COLUMNS, a, a, a, b), values(COLUMNS, a, b, b, b), key=())
    assert (found.added, found.removed, found.changed) == (2, 2, None)
    # a declared key that is not one says nothing
    found = compare.days(values(COLUMNS, a, a, a, b), values(COLUMNS, a, b, b, b))
    assert (found.added, found.removed, found.changed) == (2, 2, None)


def test_the_order_of_rows_and_equal_values_are_no_difference(compare: Compare) -> None:
    rows = ((1, None, float("nan")), (2, "b", 0.5), (None, "c", None))
    before = {"days": {JANUARY: values(COLUMNS, *rows)}}
    assert compare(before, {"days": {JANUARY: values(COLUMNS, *reversed(rows))}}).tables == ()
    found = compare.days(values(COLUMNS, (None, "a", 1)), values(COLUMNS, (None, "b", 1)))
    assert (found.changed, found.columns) == (1, {"zone": 1})


def test_columns_tables_and_months_may_be_on_one_side(compare: Compare) -> None:
    same, other = values(COLUMNS, (1, "a", 1)), values(("id", "zone", "tip"), (1, "a", 2))
    found = compare(
        {"days": {JANUARY: same, FEBRUARY: same}, "old": {None: same}, "same": {None: same}},
        {"days": {JANUARY: other, FEBRUARY: same}, "new": {None: same}, "same": {None: same}},
    )
    days, new, old = found.tables
    assert (days.new_columns, days.gone_columns, days.months) == (("tip",), ("usd",), ())
    assert (new.is_new, new.added, old.is_gone, old.removed) == (True, 1, True, 1)
    assert found.equal == 1
    # a month that only one side has
    found = compare({"days": {JANUARY: same}}, {"days": {JANUARY: same, FEBRUARY: same}})
    assert found.tables[0].months == (Rows("green", date(2024, 2, 1), 0, 1, 1, 0, 0),)
    found = compare({"days": {JANUARY: same, FEBRUARY: same}}, {"days": {JANUARY: same}})
    assert found.tables[0].months == (Rows("green", date(2024, 2, 1), 1, 0, 0, 1, 0),)


def test_equal_files_are_not_read_and_a_file_that_is_gone_is_one_line(
    compare: Compare, tmp_path: Path
) -> None:
    rows, other = (values(COLUMNS, (1, "a", n)) for n in (1, 2))
    before = {"days": {JANUARY: rows, FEBRUARY: rows}}
    compare(before, before)
    for file in (tmp_path / "before").rglob("*.parquet"):
        file.unlink()
    sides = [published(tmp_path / name, name, before) for name in ("a", "b")]
    for file in tmp_path.rglob("*.parquet"):
        file.unlink()
    assert diff(compare.settings, *sides, {}).tables == ()
    changed = published(tmp_path / "c", "c", {"days": {JANUARY: other, FEBRUARY: rows}})
    with pytest.raises(MedallionError, match=r"cannot be compared: .*No files found") as raised:
        diff(compare.settings, sides[0], changed, {})
    assert "\n" not in str(raised.value)


def test_the_page_shows_text_of_others_as_text(compare: Compare) -> None:
    script = "<script>alert(1)</script>"
    before, after = ({"days": {None: values(COLUMNS, (1, zone, 1))}} for zone in ("a", script))
    text = page(compare(before, after))
    assert script not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_a_publication_is_taken_over_and_compared_in_each_store(
    store: Store, make_settings: MakeSettings, tmp_path: Path
) -> None:
    """What an environment published, in a bucket, is published again by the main warehouse."""
    main = make_settings(publish_url=store.new_lake("it's gold"))
    trial = main.in_environment("try")
    rows, other = (values(COLUMNS, (1, "a", n)) for n in (1, 2))
    months = ({JANUARY: rows, FEBRUARY: rows}, {JANUARY: other, FEBRUARY: rows})
    old, new = (
        published(tmp_path / f"days {n}", f"{n}", {"days": month}).publication
        for n, month in enumerate(months)
    )
    for settings, made, folder in ((main, old, "days 0"), (trial, new, "days 1")):
        gold = open_publications(settings)
        for path, part in made.parts.items():
            gold.put(tmp_path / folder / path, path, part.sha256)
        swap_in(gold, made, tmp_path, seen_now(gold))
        (tmp_path / "medallion.duckdb").unlink()
    before = set(open_publications(main).sizes("marts"))
    made = take_over(main, trial, new, replace(new.origin, run="promote try"))
    assert (current(main), made.origin.run) == (made, "promote try")
    # only the file that differs was copied
    assert (
        set(open_publications(main).sizes("marts")) - before == new.parts.keys() - old.parts.keys()
    )
    with PublishedDuckDb(main, made).session() as session:
        assert session.query("select sum(usd) from marts.days").rows == [(3,)]
    url = open_publications(main).url
    trial_side = Side(new, open_publications(trial).url)
    assert diff(main, trial_side, Side(made, url), KEYS).tables == ()
    (table,) = diff(main, Side(old, url), trial_side, KEYS).tables
    assert (table.changed, table.columns) == (1, {"usd": 1})
    # twice is as good as once
    assert take_over(main, trial, new, made.origin) == made
    open_publications(trial).delete(next(iter(new.parts)))
    with pytest.raises(MedallionError, match="gone or damaged"):
        take_over(main, trial, new, made.origin)


def test_keys_are_those_that_the_project_tests() -> None:
    found = keys()
    assert found["fct_trips"] == ("trip_id",)
    assert found["daily_trips"] == ("service", "pickup_date")
    assert found["dim_zones"] == ("zone_id",)
