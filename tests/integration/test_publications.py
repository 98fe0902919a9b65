"""Publications: only what is new is written, readers see one whole state, and old ones go."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

import ingestion
from ingestion.errors import MedallionError, UsageError
from ingestion.progress import Quiet
from ingestion.publications import storage
from ingestion.publications.manifest import Publication, to_json
from ingestion.publications.read import PublishedDuckDb, current, find, kept
from ingestion.publications.retention import delete_old
from ingestion.publications.verify import verify
from ingestion.publications.write import restore, swap_in
from ingestion.settings import PROJECT_ROOT, Settings
from ingestion.warehouse import engine_for
from orchestration.job.rollback import rollback
from orchestration.job.verify import Verification
from tests.support import processes
from tests.support.gold import AFTER, BEFORE, FEBRUARY, MARCH, Gold, Months
from tests.support.stores import Store


@pytest.fixture
def gold(make_settings: Callable[..., Settings], tmp_path: Path) -> Gold:
    """A small warehouse that publishes into a folder."""
    return Gold(make_settings(publish_url=str(tmp_path / "gold")))


def test_only_what_is_new_is_written(gold: Gold) -> None:
    first = gold.publish(BEFORE)
    assert (first.is_new, first.files_written) == (True, 3)
    files = gold.files()
    again = gold.publish_again(BEFORE)
    assert (again.is_new, again.files_written) == (False, 0)
    assert [p.id for p in kept(gold.settings)] == [first.publication.id]
    second = gold.publish(AFTER)
    assert (second.is_new, second.files_written) == (True, 2)  # February anew, and March
    assert {p.rpartition("/")[0][-10:] for p in gold.files() - files} == {
        "2024-02-01",
        "2024-03-01",
    }
    assert gold.shown() == AFTER
    assert gold.shown(first.publication) == BEFORE


def test_a_warehouse_that_changes_meanwhile_is_not_published(gold: Gold) -> None:
    gold.publish(BEFORE)
    gold.build(AFTER)
    with pytest.raises(MedallionError, match="somebody has run dbt"):
        gold.publish_again(AFTER, changed=True)
    assert gold.shown() == BEFORE
    gold.publish_again(AFTER)
    assert gold.shown() == AFTER


def test_every_tool_reads_the_files_as_they_are_listed(gold: Gold) -> None:
    published = gold.publish(AFTER).publication
    with duckdb.connect(gold.folder / "medallion.duckdb", read_only=True) as connection:
        told = connection.execute("select id from publication").fetchall()
        fares = connection.execute("select sum(fare_usd) from marts.trips").fetchone()
        columns = connection.execute("describe marts.trips").fetchall()
    assert told == [(published.id,)]
    assert fares == (28,)
    assert [c[:2] for c in columns] == [
        ("service", "VARCHAR"),
        ("source_month", "DATE"),
        ("fare_usd", "DECIMAL(10,2)"),
    ]
    for path, part in published.parts.items():
        assert pq.read_table(gold.folder / path, partitioning=None).num_rows == part.rows


def test_a_mart_is_read_as_batches(gold: Gold) -> None:
    first = gold.publish(BEFORE).publication
    gold.publish(AFTER)

    def fares(*args: str, **kwargs: str) -> list[int]:
        table = ingestion.marts("trips", *args, settings=gold.settings, **kwargs).read_all()
        return sorted(int(fare) for fare in table["fare_usd"].to_pylist())

    assert fares() == [1, 2, 3, 4, 5, 6, 7]
    assert fares("2024-02", "2024-02") == [4, 5, 6]
    assert fares(publication=first.id) == [1, 2, 3, 4, 5]
    zones = ingestion.marts("zones", columns=["zone"], settings=gold.settings).read_all()
    assert sorted(zones.to_pydict()["zone"]) == ["Alphabet City", "Newark Airport"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fares",), "There is no mart fares in .*; there are trips, zones"),
        (("trips", "2025-01"), "it has 2024-01 to 2024-03"),
        (("trips", "2024-03", "2024-01"), "The start 2024-03 is after the end 2024-01"),
        (("zones", "2024-01"), "zones is not built by the month"),
        (("trips", None, None, "fare"), "trips has no column fare"),
        (("trips", None, None, None, "1999"), "There is no publication 1999"),
        (("trips", None, None, None, "2020-01-01"), "The oldest publication is of"),
    ],
)
def test_what_a_publication_does_not_have_is_said(
    gold: Gold, arguments: tuple[str, ...], message: str
) -> None:
    gold.publish(AFTER)
    with pytest.raises(UsageError, match=message):
        ingestion.marts(*arguments, settings=gold.settings)


def test_a_day_means_what_readers_saw_at_its_end(gold: Gold) -> None:
    gold.publish(BEFORE)
    made = gold.publish(AFTER).publication
    assert find(gold.settings, f"{made.created_at:%Y-%m-%d}").id == made.id
    assert find(gold.settings, made.id[:-1]).id == made.id
    with pytest.raises(UsageError, match="is the beginning of"):
        find(gold.settings, "2")


def test_a_reader_that_stays_open_reads_on(gold: Gold) -> None:
    first = gold.publish(BEFORE).publication
    with PublishedDuckDb(gold.settings, first).session(read_only=True) as session:
        for n in range(10):
            gold.publish(BEFORE | {MARCH: [n]})
            assert gold.shown()[MARCH] == [n]
            rows = session.read("select sum(fare_usd), count(*) from marts.trips").rows
            assert rows == [(15, 5)]


def test_old_publications_go_with_the_files_that_no_other_names(gold: Gold) -> None:
    old = gold.publish(BEFORE).publication
    new = gold.publish(AFTER).publication
    store = storage.open_publications(gold.settings)
    folder = next(iter(old.parts)).rpartition("/")[0]
    store.write(f"{folder}/{'0' * 16}-{'1' * 16}.parquet", b"of a killed publication")
    others = {
        *("marts/mine.parquet", "trips.parquet", f"{folder}/notes.parquet"),
        f"notes/mine/{'0' * 16}.parquet",
    }
    for name in others:
        store.write(name, b"somebody's own")
    day = timedelta(days=1)
    # it is as old as the one that took its place, and has a day of grace
    assert delete_old(store, 30, new.created_at + 31 * day - timedelta(seconds=2)) == []
    assert gold.shown(old) == BEFORE
    assert delete_old(store, 30, new.created_at + 31 * day + timedelta(seconds=2)) == [old.id]
    assert gold.files() == set(new.parts) | others
    assert gold.shown() == AFTER
    assert delete_old(store, 30, new.created_at + 900 * day) == []


def test_a_mart_without_any_month_keeps_its_columns(gold: Gold) -> None:
    first = gold.publish(BEFORE).publication
    assert gold.publish({}).is_new
    assert not gold.publish_again({}).is_new
    assert gold.shown() == {}
    empty = ingestion.marts("trips", settings=gold.settings).read_all()
    assert (empty.num_rows, empty.column_names) == (0, ["service", "source_month", "fare_usd"])
    with pytest.raises(UsageError, match="trips has no month in"):
        ingestion.marts("trips", "2024-01", settings=gold.settings)
    with duckdb.connect(gold.folder / "medallion.duckdb", read_only=True) as connection:
        query = "select count(*), max(source_month), sum(fare_usd) from marts.trips"
        assert connection.execute(query).fetchall() == [(0, None, None)]
    restore(gold.settings, first, Quiet())
    assert gold.shown() == BEFORE
    gold.publish(AFTER)
    assert gold.shown() == AFTER


def test_what_killed_publications_left_is_cleared_a_day_later(gold: Gold) -> None:
    published = gold.publish(BEFORE).publication
    store = storage.open_publications(gold.settings)
    killed = "20240101T000000Z-abcdef"
    left = [
        storage.views_of(killed),
        f"{next(iter(published.parts))}.partial",
        "publications/damaged.json.partial",
        f"marts/trips/{'0' * 16}.parquet.partial",
        f"publications/{killed}/manifest.json.partial",
    ]
    others = ["marts/trips/mine.partial", "notes.partial", f"notes/{killed}/medallion.duckdb"]
    for name in (*left, *others):
        store.write(name, b"cut short")
    emptied = gold.folder / "publications" / "20240102T000000Z-abcdef"
    emptied.mkdir()
    # somebody may still be writing the young ones; a publication so old is nobody's
    gold.publish(AFTER)
    assert set(left[1:4]) <= set(store.names(""))
    assert left[0] not in store.names("")
    assert emptied.exists()
    long_ago = datetime.now(UTC).timestamp() - 25 * 3600
    for path in (*(gold.folder / name for name in left[1:4]), emptied):
        os.utime(path, (long_ago, long_ago))
    gold.publish(BEFORE)
    assert set(store.names("")) & {*left, *others} == set(others)
    assert not emptied.exists()
    assert gold.shown() == BEFORE
    assert gold.shown(published) == BEFORE


def in_its_place(folder: Path, what: str) -> None:
    """Put something in the place of a folder, whose error even root gets."""
    shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    if what == "a file":
        folder.write_text("no folder")
    elif what == "a link to itself":
        folder.symlink_to(folder)
    else:
        folder.mkdir()  # a share that is not mounted


@pytest.mark.parametrize("what", ["a file", "a link to itself", "an empty folder"])
def test_a_folder_that_cannot_be_read_does_not_look_empty(
    make_settings: Callable[..., Settings], tmp_path: Path, what: str
) -> None:
    gold = Gold(make_settings(publish_url=str(tmp_path / "share" / "gold")))
    id_before = gold.publish(BEFORE).publication.id
    place = tmp_path / "share"
    in_its_place(place, what)
    for read in (
        lambda: current(gold.settings),
        lambda: kept(gold.settings),
        lambda: find(gold.settings, id_before),
        lambda: ingestion.marts("trips", settings=gold.settings),
        lambda: verify(gold.settings),
        lambda: gold.publish(AFTER),
        lambda: gold.publish(AFTER),  # the one before has left nothing in its place
    ):
        with pytest.raises(MedallionError, match=re.escape(str(place))) as told:
            read()
        assert told.value.exit_code == 1
        assert "\n" not in str(told.value)
    if what == "an empty folder":
        assert list(place.iterdir()) == []
        note = str(told.value).partition("delete ")[2].partition(" too")[0]
        Path(note).unlink()
        assert gold.publish(AFTER).is_new


def test_a_folder_that_was_deleted_is_published_anew(gold: Gold) -> None:
    gold.publish(BEFORE)
    shutil.rmtree(gold.folder)
    assert current(gold.settings) is None
    assert gold.publish(BEFORE).is_new
    assert gold.shown() == BEFORE


MAY_NOT = """
import sys
from ingestion.errors import MedallionError
from ingestion.publications.read import current, kept
from ingestion.publications.storage import listing, open_publications
from ingestion.settings import PROJECT_ROOT, Settings
settings = Settings(publish_url=sys.argv[1], duckdb_path=sys.argv[2], work_dir=sys.argv[3])
for read in (current, kept, lambda settings: listing(open_publications(settings))):
    try:
        print("found", read(settings))
    except MedallionError as exc:
        print(exc)
"""


@pytest.mark.parametrize(
    ("closed", "read"),
    [
        ("", [False, False, False]),
        ("publications", [True, False, False]),
        ("marts/trips", [True, True, False]),
        ("lost+found", [True, True, True]),
    ],
)
def test_a_folder_that_may_not_be_read_is_named(
    gold: Gold, closed: str, read: list[bool], tmp_path: Path
) -> None:
    gold.publish(BEFORE)
    folder = gold.folder / closed
    folder.mkdir(exist_ok=True)
    folder.chmod(0o000)
    arguments = (str(gold.folder), str(gold.settings.duckdb_path), str(tmp_path / "work"))
    done = processes.without_powers([sys.executable, "-c", MAY_NOT, *arguments])
    folder.chmod(0o755)
    lines = done.stdout.splitlines()
    assert [line.startswith("found") for line in lines] == read, done.stderr
    for line in lines:
        refused = line.startswith("Cannot read the publications") and (
            "Permission denied: '" in line and line.endswith("Check that path and its permissions.")
        )
        assert refused or line.startswith("found")


def test_a_publication_in_its_day_of_grace_is_not_listed(gold: Gold) -> None:
    old = gold.publish(BEFORE).publication
    store = storage.open_publications(gold.settings)
    new = gold.publish(AFTER).publication
    then = datetime.now(UTC) - timedelta(days=30, hours=1)
    store.delete(storage.manifest_of(new.id))
    # as if it had been published then
    moved = replace(new, id=storage.new_id(then, new.origin.state), created_at=then)
    store.write(storage.manifest_of(moved.id), to_json(moved))
    store.delete(storage.manifest_of(old.id))
    earlier = then - timedelta(days=1)
    oldest = replace(old, id=storage.new_id(earlier, old.origin.state), created_at=earlier)
    store.write(storage.manifest_of(oldest.id), to_json(oldest))
    assert [p.id for p in kept(gold.settings)] == [moved.id]


def test_a_rollback_holds_until_something_new_is_built(gold: Gold) -> None:
    good = gold.publish(BEFORE).publication
    bad = gold.publish(AFTER).publication
    back = restore(gold.settings, good, Quiet())
    assert gold.shown() == BEFORE
    assert (back.restores, back.hides) == (good.id, bad.id)
    # the next run finds nothing new
    assert not gold.publish_again(AFTER).is_new
    assert gold.shown() == BEFORE
    mended = gold.publish(AFTER | {MARCH: [8]})
    assert mended.is_new
    assert gold.shown() == AFTER | {MARCH: [8]}
    assert mended.publication.hides is None


def test_a_rollback_is_taken_back(gold: Gold) -> None:
    good = gold.publish(BEFORE).publication
    bad = gold.publish(AFTER).publication
    restore(gold.settings, good, Quiet())
    forward = restore(gold.settings, bad, Quiet())
    assert gold.shown() == AFTER
    assert forward.hides is None
    with pytest.raises(UsageError, match="is what readers see already"):
        restore(gold.settings, bad, Quiet())


def test_a_rollback_names_only_the_months_that_it_changes(gold: Gold) -> None:
    label = engine_for(gold.settings).label
    good = gold.publish(BEFORE, label).publication
    gold.publish(AFTER, label, built="anew")  # January has the same rows in a file of another name
    (changed,) = rollback(gold.settings, good.id).hidden
    assert changed.months == ["green 2024-02", "green 2024-03"]
    assert (changed.rows, changed.hidden_rows) == (2, 4)
    gold.publish(BEFORE, label, built="anew")
    values = {f"MEDALLION_{n.upper()}": str(v) for n, v in gold.settings.model_dump().items() if v}
    done = processes.run_command(
        "orchestration.cli", ["rollback", good.id], PROJECT_ROOT, dict(os.environ) | values
    )
    assert "it hides nothing: the files of every mart are equal" in done.stdout


@pytest.mark.parametrize("damage", ["gone", "cut short", "a bit flipped"])
def test_a_damaged_file_is_found_and_written_again(gold: Gold, damage: str) -> None:
    published = gold.publish(AFTER).publication
    path = next(p for p in published.parts if "2024-02" in p)
    file = gold.folder / path
    content = bytearray(file.read_bytes())
    if damage == "gone":
        file.unlink()
    elif damage == "cut short":
        file.write_bytes(content[:-1])
    else:
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    assert [f.path for f in verify(gold.settings) if f.error] == [path]
    other = gold.publish(BEFORE | {FEBRUARY: [9]}).publication
    assert path not in other.parts
    with pytest.raises(MedallionError, match="gone or damaged"):
        restore(gold.settings, published, Quiet())
    gold.publish(AFTER)
    assert not [f for f in verify(gold.settings) if f.error]
    assert gold.shown() == AFTER
    # one of the present publication is written again, and the run says so
    file.write_bytes(content[:-1])
    mended = gold.publish_again(AFTER)
    assert (mended.is_new, mended.summary.partition(":")[0]) == (False, "1 files written again")
    assert not [f for f in verify(gold.settings) if f.error]
    assert gold.shown() == AFTER


@pytest.mark.parametrize("name", ["medallion.duckdb", "manifest.json"])
def test_what_readers_find_a_publication_by_comes_back(gold: Gold, name: str) -> None:
    gold.publish(AFTER)
    (gold.folder / name).unlink()
    gold.publish_again(AFTER)
    assert gold.shown() == AFTER
    with duckdb.connect(gold.folder / "medallion.duckdb", read_only=True) as connection:
        assert connection.execute("select count(*) from marts.trips").fetchone() == (7,)


@pytest.mark.parametrize("months", [AFTER, BEFORE | {MARCH: [8]}], ids=["nothing new", "new"])
def test_a_lost_manifest_takes_no_past_night_along(gold: Gold, months: Months) -> None:
    first = gold.publish(BEFORE).publication
    second = gold.publish(AFTER).publication
    (gold.folder / "manifest.json").unlink()
    made = gold.publish(months).publication
    ids = [first.id, second.id, *([] if months == AFTER else [made.id])]
    assert [p.id for p in kept(gold.settings)] == ids
    assert gold.shown() == months
    assert gold.shown(first) == BEFORE
    assert not [f for f in verify(gold.settings) if f.error]


@pytest.mark.parametrize("damage", ["cut short", "empty", "of another publication"])
def test_views_that_are_damaged_are_found_and_come_back(gold: Gold, damage: str) -> None:
    first = gold.publish(BEFORE).publication
    gold.publish(AFTER)
    views = gold.folder / "medallion.duckdb"
    content = views.read_bytes()
    other = (gold.folder / "publications" / first.id / "medallion.duckdb").read_bytes()
    views.write_bytes({"cut short": content[:-9], "empty": b""}.get(damage, other))
    assert [f.path for f in verify(gold.settings) if f.error] == ["medallion.duckdb"]
    assert not gold.publish_again(AFTER).is_new
    with duckdb.connect(views, read_only=True) as connection:
        assert connection.execute("select count(*) from marts.trips").fetchone() == (7,)
    assert not [f for f in verify(gold.settings) if f.error]


def test_a_folder_that_was_moved_is_read_and_mended(gold: Gold, tmp_path: Path) -> None:
    first = gold.publish(BEFORE).publication
    gold.publish(AFTER)
    gold.folder.rename(tmp_path / "moved")
    moved = Gold(gold.settings.model_copy(update={"publish_url": (tmp_path / "moved").as_uri()}))
    assert moved.shown() == AFTER
    assert moved.shown(first) == BEFORE
    assert not moved.publish_again(AFTER).is_new
    with duckdb.connect(moved.folder / "medallion.duckdb", read_only=True) as connection:
        assert connection.execute("select count(*) from marts.trips").fetchone() == (7,)


@pytest.mark.parametrize("lost", ["medallion.duckdb", "manifest of the id", "a file"])
def test_a_rollback_outlives_what_is_lost(gold: Gold, lost: str) -> None:
    good = gold.publish(BEFORE).publication
    gold.publish(AFTER)
    back = restore(gold.settings, good, Quiet())
    path = {
        "medallion.duckdb": "medallion.duckdb",
        "manifest of the id": storage.manifest_of(back.id),
        "a file": next(p for p in back.parts if "2024-02" in p),
    }[lost]
    (gold.folder / path).unlink()
    assert not gold.publish_again(AFTER).is_new
    found = current(gold.settings)
    assert found
    assert found.id == back.id
    if lost != "a file":
        assert gold.shown() == BEFORE


def test_one_bad_manifest_stops_no_other(gold: Gold) -> None:
    old = gold.publish(BEFORE).publication
    new = gold.publish(AFTER).publication
    manifest = gold.folder / storage.manifest_of(old.id)
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[: len(whole) // 2])
    assert [p.id for p in kept(gold.settings)] == [new.id]
    assert gold.shown() == AFTER
    (faulty,) = [f for f in verify(gold.settings) if f.error]
    assert storage.manifest_of(old.id) in faulty.path
    (line,) = Verification([], [], [faulty]).errors
    assert line.count(faulty.path) == 1
    assert "delete it" in line
    assert "it is part of" not in line
    # what it names is not known, so nothing is deleted
    store = storage.open_publications(gold.settings)
    files = gold.files()
    assert delete_old(store, 1, datetime.now(UTC) + timedelta(days=9)) == []
    assert gold.files() == files
    with pytest.raises(MedallionError, match="is no manifest of a publication"):
        find(gold.settings, old.id)


def test_a_manifest_of_a_later_release_says_so(gold: Gold) -> None:
    gold.publish(BEFORE)
    (gold.folder / "manifest.json").write_text('{"format": 2, "of": "another shape"}')
    with pytest.raises(MedallionError, match="written by a later release"):
        gold.publish(AFTER)


def test_a_type_that_parquet_does_not_keep_is_refused(gold: Gold) -> None:
    gold.publish(BEFORE)
    gold.build(AFTER)
    with engine_for(gold.settings).session() as session:
        session.execute("alter table marts.zones alter zone_id type hugeint")
    with pytest.raises(MedallionError, match="zones cannot be published: Parquet does not"):
        gold.publish_again(AFTER)
    assert gold.shown() == BEFORE


def test_a_clock_that_was_set_back_makes_no_older_publication(gold: Gold, tmp_path: Path) -> None:
    first = gold.publish(BEFORE).publication
    ahead = first.created_at + timedelta(days=400)
    store = storage.open_publications(gold.settings)
    moved = replace(first, id=storage.new_id(ahead, first.origin.state), created_at=ahead)
    swap_in(store, moved, tmp_path, storage.seen_now(store))
    later = gold.publish(AFTER).publication
    assert later.id > moved.id
    assert gold.shown() == AFTER
    # what is younger than the clock says is not old
    assert [p.id for p in kept(gold.settings)] == [first.id, moved.id, later.id]


def test_two_warehouses_do_not_publish_at_one_address(gold: Gold) -> None:
    gold.publish(BEFORE)
    with pytest.raises(UsageError, match="holds the publications of the small warehouse"):
        gold.publish(AFTER, warehouse="another")
    with pytest.raises(UsageError, match="holds the publications of the small warehouse"):
        restore(gold.settings, gold.publish(AFTER).publication, Quiet(), "another")
    gold.publish(BEFORE)
    assert gold.shown() == BEFORE


def test_rows_that_somebody_has_changed_are_not_published(gold: Gold) -> None:
    gold.publish(BEFORE)
    gold.build(AFTER | {MARCH: [7, 7]})
    with pytest.raises(MedallionError, match="2 rows of green 2024-03, and 1 were built"):
        gold.publish_again(AFTER)
    assert gold.shown() == BEFORE


def test_a_publication_in_each_store(make_settings: Callable[..., Settings], store: Store) -> None:
    if store.kind != "file":
        nowhere = make_settings(publish_url=f"{store.kind}://no-such-bucket/gold")
        for look in (
            lambda: current(nowhere),
            lambda: kept(nowhere),
            lambda: Gold(nowhere).publish(BEFORE),
        ):
            with pytest.raises(MedallionError, match="there is no no-such-bucket there"):
                look()
    gold = Gold(make_settings(publish_url=store.new_lake()))
    assert current(gold.settings) is None
    first = gold.publish(BEFORE).publication
    gold.publish(AFTER)
    assert gold.shown() == AFTER
    assert gold.shown(first) == BEFORE
    assert not gold.publish_again(AFTER).is_new
    assert not [f for f in verify(gold.settings) if f.error]
    table = ingestion.marts("trips", "2024-03", settings=gold.settings).read_all()
    assert table.num_rows == 1
    found = current(gold.settings)
    assert found
    restore(gold.settings, first, Quiet())
    assert gold.shown() == BEFORE
    assert delete_old(
        storage.open_publications(gold.settings), 1, datetime.now(UTC) + timedelta(days=9)
    ) == [first.id, found.id]
    assert gold.shown() == BEFORE


def test_two_machines_at_once_in_each_store(
    make_settings: Callable[..., Settings], store: Store, tmp_path: Path
) -> None:
    """What one has published between another's look and its end stays, and the other is told."""
    gold = Gold(make_settings(publish_url=store.new_lake()))
    bucket = storage.open_publications(gold.settings)
    nothing = storage.seen_now(bucket)
    assert nothing == (None, None)
    first = gold.publish(BEFORE).publication
    with pytest.raises(MedallionError, match="replaced by somebody else") as told:
        swap_in(bucket, _another(first, 1), tmp_path, nothing)
    assert "\n" not in str(told.value)
    seen = storage.seen_now(bucket)
    second = gold.publish(AFTER).publication
    for late in (_another(first, 2), first):  # one that is new, and one that was to be mended
        with pytest.raises(MedallionError, match="replaced by somebody else"):
            swap_in(bucket, late, tmp_path, seen)
    assert gold.shown() == AFTER
    assert [p.id for p in kept(gold.settings)] == [first.id, second.id]
    assert not [f for f in verify(gold.settings) if f.error]
    # an answer that was lost, and the request sent again
    bucket.replace(storage.MANIFEST, to_json(second), seen.tag)
    swap_in(bucket, _another(first, 3), tmp_path, storage.seen_now(bucket))
    assert gold.shown() == BEFORE


def _another(publication: Publication, number: int) -> Publication:
    """One that somebody makes of the same files, years later."""
    made_at = datetime(2124, 1, number, tzinfo=UTC)
    return replace(publication, id=storage.new_id(made_at, "ab" * 3), created_at=made_at)


def test_a_user_can_only_read_the_published_files(gold: Gold, tmp_path: Path) -> None:
    published = gold.publish(AFTER).publication
    (tmp_path / "other.csv").write_text("a\n1\n")

    def ask(sql: str) -> object:
        with PublishedDuckDb(gold.settings, published).session(read_only=True) as session:
            return session.read(sql).rows

    for sql in (
        f"from read_csv('{tmp_path / 'other.csv'}')",
        f"from '{tmp_path / 'other.csv'}'",
        "drop view marts.trips",
        f"copy marts.trips to '{tmp_path / 'out.csv'}'",
    ):
        with pytest.raises(MedallionError):
            ask(sql)
    assert ask("select count(*) from marts.trips") == [(7,)]


def _publish_in_turn(settings: Settings, months: dict[object, list[int]]) -> None:
    Gold(settings).publish_again(months)  # type: ignore[arg-type]


def _restore_in_turn(settings: Settings, publication_id: str) -> None:
    with suppress(UsageError):
        restore(settings, find(settings, publication_id), Quiet())


@pytest.mark.slow
def test_a_publication_that_is_killed_leaves_the_one_before(
    make_settings: Callable[..., Settings], tmp_path: Path, at_length: bool
) -> None:
    """Killed before lines of the code that publishes, some in a row; then it is run again."""
    gold = Gold(make_settings(publish_url=str(tmp_path / "gold")))
    files = tuple(
        f"ingestion/publications/{name}.py" for name in ("write", "views", "storage", "retention")
    )
    gold.publish(BEFORE)
    gold.build(AFTER)
    counts = processes.lines_executed(files, _publish_in_turn, gold.settings, dict(AFTER))
    assert all(counts.values()), counts
    for file, lines in counts.items():
        for line in sorted({1, lines, *range(1, lines, max(lines // (9 if at_length else 2), 1))}):
            gold.publish(BEFORE)
            gold.build(AFTER)
            processes.killed_at_line(file, line, _publish_in_turn, gold.settings, dict(AFTER))
            assert gold.shown() in (BEFORE, AFTER), f"{file}, line {line}"
            with duckdb.connect(gold.folder / "medallion.duckdb", read_only=True) as connection:
                told = connection.execute("select count(*) from marts.trips").fetchone()
            assert told in ((5,), (7,)), f"{file}, line {line}"
            gold.publish_again(AFTER)
            assert gold.shown() == AFTER
            assert not list(gold.folder.rglob("*.partial")), f"{file}, line {line}"


@pytest.mark.slow
def test_a_rollback_that_is_killed_leaves_one_truth(gold: Gold, at_length: bool) -> None:
    """After the next run, other tools read what the commands read."""
    first = gold.publish(BEFORE).publication
    second = gold.publish(AFTER).publication
    lines = 40
    for line in range(2, lines, 3 if at_length else 9):
        processes.killed_at_line(
            "ingestion/publications/write.py", line, _restore_in_turn, gold.settings, first.id
        )
        gold.publish_again(AFTER)
        with duckdb.connect(gold.folder / "medallion.duckdb", read_only=True) as connection:
            ((told,),) = connection.execute("select id from publication").fetchall()
        found = current(gold.settings)
        assert found
        assert told == found.id
        assert kept(gold.settings)[-1].id == found.id
        assert gold.shown() == (AFTER if found.restores is None else BEFORE)
        assert not [f for f in verify(gold.settings) if f.error]
        if found.restores:
            restore(gold.settings, second, Quiet())


@pytest.mark.slow
def test_two_at_once_wait_for_each_other(gold: Gold) -> None:
    gold.publish(BEFORE)
    first = current(gold.settings)
    assert first
    gold.build(AFTER)
    both = [
        processes.start(_publish_in_turn, gold.settings, dict(AFTER)),
        processes.start(_restore_in_turn, gold.settings, first.id),
    ]
    for process in both:
        process.join(processes.PATIENCE_SECONDS)
    assert [process.exitcode for process in both] == [0, 0]
    # the rollback came after the publication, or found nothing to take back
    assert gold.shown() in (BEFORE, AFTER)
    assert not [f for f in verify(gold.settings) if f.error]


def test_nothing_is_published_where_it_is_off(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(publish_url="off")
    assert current(settings) is None
    assert verify(settings) == []
    with pytest.raises(UsageError, match="MEDALLION_PUBLISH_URL is not set, or off"):
        ingestion.marts("trips", settings=settings)


def test_months_of_one_table_are_pruned_by_their_folders(gold: Gold) -> None:
    gold.publish(AFTER)
    with duckdb.connect(gold.folder / "medallion.duckdb", read_only=True) as connection:
        plan = connection.execute(
            "explain select * from marts.trips where source_month = date '2024-02-01'"
        ).fetchall()[0][1]
    assert "1/3" in plan
