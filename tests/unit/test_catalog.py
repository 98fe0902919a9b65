"""The catalog: what was landed, in which order, and which version is current."""

import json
import time
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from ingestion.errors import MedallionError
from ingestion.lake.catalog import Catalog, FileVersion, key_of, version_name
from ingestion.lake.decision import Decision, Verdict, decide
from ingestion.sources.base import PublishedFile
from ingestion.warehouse.files_table import shown

JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return (tmp_path / "lake").as_uri()


def landing(content: str, landed_at: datetime = NOON, **values: object) -> FileVersion:
    """A trusted landing of one content of green 2024-01."""
    defaults = {
        "dataset": "green",
        "month": JANUARY,
        "file_id": content * 64,
        "source_url": "https://tlc.example/trip-data/green_tripdata_2024-01.parquet",
        "etag": f'"{content}"',
        "last_modified": NOON - timedelta(days=30),
        "bytes": 1000,
        "row_count": 20,
        "columns": (("VendorID", "int64"), ("fare_amount", "double")),
        "landed_at": landed_at,
        "status": "landed",
    }
    said = defaults | values
    name = version_name((said["dataset"], said["month"], None), said["file_id"])
    folder = "quarantine" if said["status"] == "quarantined" else f"raw/{said['dataset']}"
    return FileVersion(**{"lake_path": f"{folder}/{name}.parquet"} | said)


def published(of: FileVersion, **values: object) -> PublishedFile:
    """What a publisher says of a file that is still as it was landed."""
    said = PublishedFile(of.dataset, of.month, of.source_url, of.etag, of.last_modified, of.bytes)
    return replace(said, **values)


def ids(landings: list[FileVersion]) -> list[str]:
    return [x.file_id[0] for x in landings]


def test_what_is_appended_is_read_back_equal(lake: str) -> None:
    written = [
        landing("a"),
        landing("b", NOON + timedelta(days=1), month=FEBRUARY, etag=None, last_modified=None),
        landing(
            "c",
            NOON + timedelta(days=2),
            dataset="taxi_zone_lookup",
            month=None,
            row_count=None,
            columns=(),
            status="quarantined",
            error='the file\'s "header" is\nbroken',
            remarks=("column x is new", "Zoë"),
        ),
    ]
    catalog = Catalog(lake)
    for one in written:
        assert catalog.append(one) == one
    assert catalog.landings == written
    assert Catalog(lake).landings == written


def test_an_empty_lake_has_an_empty_catalog(lake: str) -> None:
    catalog = Catalog(lake)
    assert catalog.landings == []
    assert catalog.current() == catalog.versions() == catalog.quarantined() == []
    assert catalog.newest("green", JANUARY) is None
    assert not catalog.holds(published(landing("a")))


@pytest.mark.parametrize(
    "name", ["my lake", "100% lake", "lake#1", "Zoë's lake", "lake [1]", "lake*"]
)
def test_a_lake_may_lie_in_any_folder(
    name: str, tmp_path: Path, make_settings: Callable[..., object]
) -> None:
    settings = make_settings(lake_url=str(tmp_path / "a" / name))
    Catalog(settings.lake_url).append(landing("a"))
    Catalog(settings.lake_url).append(landing("b", NOON + timedelta(days=1)))
    assert ids(Catalog(settings.lake_url).landings) == ["a", "b"]
    assert [p.name for p in (tmp_path / "a").iterdir()] == [name]


def test_a_record_cut_short_anywhere_does_not_count(lake: str, tmp_path: Path) -> None:
    whole = Catalog(lake).append(landing("a", remarks=("Zoë",)))
    (path,) = (tmp_path / "lake").rglob("*.json")
    content = path.read_bytes()
    for size in range(len(content)):
        path.with_name(f"cut-{size}.json").write_bytes(content[:size])
    path.with_name("not-ours.json").write_text(json.dumps(["something", "else"]))
    path.with_name("notes.txt").write_text("hello")
    assert Catalog(lake).landings == [whole]
    assert Catalog(lake).unreadable == []  # none has a record's name


def test_a_record_of_ours_that_cannot_be_read_is_told_from_a_strangers_file(
    lake: str, tmp_path: Path
) -> None:
    Catalog(lake).append(landing("a"))
    Catalog(lake).append(landing("a", dataset="taxi_zone_lookup", month=None))
    paths = sorted((tmp_path / "lake").rglob("*.json"))
    for path in paths:
        path.write_bytes(path.read_bytes()[:100])
    paths[0].with_name("mine.json").write_text("{")
    names = [p.relative_to(tmp_path / "lake").as_posix() for p in paths]
    assert [r.name for r in Catalog(lake).unreadable] == names
    assert [key_of(name) for name in names] == [
        ("green", date(2024, 1, 1), None),
        ("taxi_zone_lookup", None, None),
    ]


def changed_record(lake: str, **values: object) -> Path:
    """The only record of a lake, which says something else now."""
    (path,) = Path(lake.removeprefix("file://")).rglob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return path


@pytest.mark.parametrize("size", [0, 1, 100, -2])
def test_a_record_that_is_cut_short_is_an_error_that_names_it(lake: str, size: int) -> None:
    Catalog(lake).append(landing("a"))
    path = changed_record(lake)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(MedallionError) as raised:
        Catalog(lake).current()
    assert f"The record catalog/green/2024-01/{path.name} of the lake {lake}" in str(raised.value)
    assert str(raised.value).endswith("medallion land --dataset green --from 2024-01 --to 2024-01.")
    assert "\n" not in str(raised.value)
    assert Catalog(lake, in_part=True).landings == []


def test_keys_of_a_later_release_are_read_over(lake: str) -> None:
    written = Catalog(lake).append(landing("a"))
    path = changed_record(lake, size=1, of={"a": ["later", None]})
    assert Catalog(lake).landings == [written]
    assert Catalog(lake).changed == []
    assert "later" in path.read_text()


WRONG = {
    "a list": [],
    "a number": 7,
    "a text": "x",
    "nothing": None,
    "a boolean": True,
    "a mapping": {"a": 1},
}


@pytest.mark.parametrize("field", [f.name for f in fields(FileVersion)])
@pytest.mark.parametrize("kind", WRONG)
def test_a_value_of_a_wrong_kind_is_believed_nowhere(lake: str, field: str, kind: str) -> None:
    """Only where that kind may stand, it may."""
    Catalog(lake).append(landing("a"))
    changed_record(lake, **{field: WRONG[kind]})
    allowed = {
        ("source_url", "a text"),
        ("etag", "a text"),
        ("etag", "nothing"),
        ("last_modified", "nothing"),
        ("bytes", "a number"),
        ("row_count", "a number"),
        ("error", "a text"),
        ("error", "nothing"),
        ("remarks", "a list"),
        ("item", "nothing"),
    }
    assert len(Catalog(lake).unreadable) == ((field, kind) not in allowed)
    # and even then, somebody has changed it, unless it says the same as before
    same = {("error", "nothing"), ("remarks", "a list"), ("item", "nothing")}
    if (field, kind) in allowed - same:
        assert len(Catalog(lake).changed) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dataset", "yellow"),
        ("dataset", "citibike"),
        ("dataset", "taxi_zone_lookup"),
        ("month", "2024-02-01"),
        ("month", "2024-01-02"),
        ("month", "2024-01-01T00:00:00"),
        ("file_id", "b" * 64),
        ("file_id", "A" * 64),
        ("file_id", "a" * 63),
        ("source_url", "a\0b"),
        ("last_modified", "2024-01-01T00:00:00"),
        ("landed_at", "2024-01-01T00:00:00"),
        ("landed_at", "0001-01-01T00:00:00+14:00"),
        ("landed_at", "9999-12-31T23:59:59-14:00"),
        ("bytes", -1),
        ("bytes", 2**63),
        ("bytes", 1.5),
        ("row_count", -1),
        ("row_count", None),
        ("columns", [["a"]]),
        ("columns", [["a", 1]]),
        ("columns", []),
        ("status", "loaded"),
        ("lake_path", "../green_tripdata_2024_01__aaaaaaaa.parquet"),
        ("lake_path", "raw/green/../../green_tripdata_2024_01__aaaaaaaa.parquet"),
        ("lake_path", "/etc/passwd"),
        ("lake_path", "raw/yellow/green_tripdata_2024_01__aaaaaaaa.parquet"),
        ("lake_path", "raw/yellow/yellow_tripdata_2024_01__aaaaaaaa.parquet"),
        ("lake_path", "raw/green/green_tripdata_2024_02__aaaaaaaa.parquet"),
        ("lake_path", "raw/green/green_tripdata_2024_01__bbbbbbbb.parquet"),
        ("lake_path", "raw/green/green_tripdata_2024_01__aaaaaaaa.parquet/x"),
        ("lake_path", "raw/green/green_tripdata_2024_01__aaaaaaaa.exe"),
    ],
)
def test_a_value_that_cannot_be_is_believed_nowhere(lake: str, field: str, value: object) -> None:
    Catalog(lake).append(landing("a"))
    changed_record(lake, **{field: value})
    (found,) = Catalog(lake).unreadable
    assert found.reason
    assert "\n" not in found.reason
    with pytest.raises(MedallionError, match="cannot be read"):
        Catalog(lake).newest("green", JANUARY)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe{", b"[]", b"[" * 100_000, b'{"bytes": NaN}', b"null", b'"\\ud800"']
)
def test_what_is_no_record_at_all_is_unreadable(lake: str, content: bytes) -> None:
    Catalog(lake).append(landing("a"))
    changed_record(lake).write_bytes(content)
    assert len(Catalog(lake).unreadable) == 1


def test_a_record_in_another_folder_is_not_believed(lake: str) -> None:
    Catalog(lake).append(landing("a"))
    path = changed_record(lake)
    moved = path.parents[1] / "2024-02" / path.name
    moved.parent.mkdir()
    path.rename(moved)
    (found,) = Catalog(lake).unreadable
    assert found.reason == "it is the record of green 2024-01, and its name is that of another file"


def test_a_record_that_was_changed_is_known_by_its_checksum_or_its_name(lake: str) -> None:
    Catalog(lake).append(landing("a"))
    assert Catalog(lake).changed == []
    for change in (
        {"columns": [["VendorID", "int64"], ["fare_amounu", "double"]]},
        {"landed_at": (NOON - timedelta(days=1)).isoformat()},
    ):
        path = changed_record(lake)
        before = path.read_bytes()
        changed_record(lake, **change)
        assert Catalog(lake).changed == [path.relative_to(lake.removeprefix("file://")).as_posix()]
        path.write_bytes(before)
    # one of an earlier release has no checksum
    path.write_text(json.dumps({k: v for k, v in json.loads(before).items() if k != "checksum"}))
    assert Catalog(lake).changed == []


def test_a_record_of_a_later_format_is_no_damage_but_asks_for_that_release(lake: str) -> None:
    Catalog(lake).append(landing("a"))
    changed_record(lake, format=3)
    for in_part in (False, True):
        with pytest.raises(MedallionError, match=r"later release .* format 3, .* Install that"):
            _ = Catalog(lake, in_part=in_part).landings
    changed_record(lake, format="none")
    assert len(Catalog(lake).landings) == 1


def test_contents_whose_ids_begin_alike_have_names_of_their_own(lake: str) -> None:
    catalog = Catalog(lake)
    first, second = "12345678" + "a" * 56, "12345678" + "b" * 56
    third = "123456789" + "c" * 55
    for day, file_id in enumerate((first, second, third, first)):
        name = catalog.name_for(("green", JANUARY, None), file_id)
        path = f"raw/green/{name}.parquet"
        stamp = NOON + timedelta(days=day)
        catalog.append(landing("a", stamp, file_id=file_id, lake_path=path, etag=f'"{day}"'))
    found = Catalog(lake)
    assert [v.table_name.partition("__")[2] for v in found.versions()] == [
        "12345678",
        "12345678b",
        "123456789",
    ]
    assert found.current()[0].file_id == first
    assert found.name_for(("green", FEBRUARY, None), second).endswith("__12345678")
    assert len(found.landings) == 4


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("raw/green/green_tripdata_2024_01__1512a953.parquet", ("green", date(2024, 1, 1), None)),
        ("quarantine/green_tripdata_2024_01__1512a953.csv.gz", ("green", date(2024, 1, 1), None)),
        ("raw/taxi_zone_lookup/taxi_zone_lookup__1512a953.csv", ("taxi_zone_lookup", None, None)),
        ("raw/yellow/green_tripdata_2024_01__1512a953.parquet", None),
        ("raw/green/green_tripdata_2024_13__1512a953.parquet", None),
        ("raw/green/green_tripdata_2024_01__1512a953.parquet.partial", None),
        ("raw/green/green_tripdata_2024-01.parquet", None),
        ("raw/green/green_tripdata_2024_01__1512a953.pdf", None),
        ("catalog/green/2024-01/notes.json", None),
    ],
)
def test_a_name_of_ours_says_which_file_it_is_of(
    name: str, key: tuple[str, date | None, None] | None
) -> None:
    assert key_of(name) == key


def test_a_clock_that_goes_back_changes_no_order(lake: str) -> None:
    catalog = Catalog(lake)
    catalog.append(landing("a"))
    second = catalog.append(landing("b", NOON - timedelta(days=400)))
    third = catalog.append(landing("c", NOON))
    assert NOON < second.landed_at < third.landed_at
    assert ids(Catalog(lake).landings) == ["a", "b", "c"]
    assert ids(Catalog(lake).current()) == ["c"]


def test_the_newest_publication_is_current(lake: str) -> None:
    catalog = Catalog(lake)
    for day, content in enumerate("ab"):
        catalog.append(landing(content, NOON + timedelta(days=day)))
    catalog.append(landing("f", NOON + timedelta(days=2), month=FEBRUARY))
    assert ids(catalog.current()) == ["b", "f"]
    assert ids(catalog.versions()) == ["a", "b", "f"]


def test_a_content_that_is_published_again_is_current_again(lake: str) -> None:
    catalog = Catalog(lake)
    for day, content in enumerate("aba"):
        catalog.append(landing(content, NOON + timedelta(days=day), etag=f'"{day}"'))
    (current,) = Catalog(lake).current()
    assert (current.file_id[0], current.etag) == ("a", '"2"')
    assert ids(Catalog(lake).landings) == ["a", "b", "a"]
    first, _ = versions = Catalog(lake).versions()
    assert ids(versions) == ["a", "b"]
    assert first.landed_at == NOON  # when it first came
    assert first.etag == '"2"'  # as it is published now


def test_while_the_current_version_cannot_be_used_the_one_before_it_stands_in(lake: str) -> None:
    """By what was current when, and not by which content came first."""
    catalog = Catalog(lake)
    for day, content in enumerate("abac"):
        catalog.append(landing(content, NOON + timedelta(days=day), etag=f'"{day}"'))
    key = ("green", JANUARY, None)
    a, b, c = (v.table_name for v in catalog.versions())

    def seen(day: int, *loaded: str) -> list[str]:
        then = catalog.as_of((NOON + timedelta(days=day)).date())
        return list(shown(then, set(loaded)))

    assert [
        ids(catalog.as_of(NOON.date() + timedelta(days=n)).trusted()[key]) for n in range(4)
    ] == [["a"], ["b", "a"], ["a", "b"], ["c", "a", "b"]]
    assert [seen(day, a, b, c) for day in range(4)] == [[a], [b], [a], [c]]
    assert [seen(day, a, b) for day in range(4)] == [[a], [b], [a], [a]]
    assert [seen(day, b) for day in range(4)] == [[], [b], [b], [b]]
    assert [seen(day, a) for day in range(4)] == [[a], [a], [a], [a]]
    catalog.append(landing("a", NOON + timedelta(days=4), status="quarantined", error="stricter"))
    assert ids(catalog.trusted()[key]) == ["c", "b"]
    assert seen(4, a, b) == [b]


def test_a_past_catalog_knows_nothing_of_what_came_later(lake: str) -> None:
    catalog = Catalog(lake)
    catalog.append(landing("a", etag='"then"'))
    catalog.append(landing("b", NOON + timedelta(days=1)))
    catalog.append(
        landing("f", NOON + timedelta(days=2), month=FEBRUARY, status="quarantined", error="?")
    )
    catalog.append(landing("a", NOON + timedelta(days=3), etag='"now"'))
    then = catalog.as_of(NOON.date())
    assert [(v.file_id[0], v.etag) for v in then.versions()] == [("a", '"then"')]
    assert (ids(then.current()), then.quarantined()) == (["a"], [])
    assert then.version(("green", FEBRUARY, None), catalog.quarantined()[0].file_id) is None
    # and the present has lost nothing
    assert (ids(catalog.current()), ids(catalog.versions())) == (["a"], ["a", "b", "f"])


def test_as_of_a_day_is_what_had_been_landed_by_its_end_in_utc(lake: str) -> None:
    catalog = Catalog(lake)
    catalog.append(landing("a", datetime(2024, 3, 1, 23, 59, 59, 999999, tzinfo=UTC)))
    catalog.append(landing("b", datetime(2024, 3, 2, tzinfo=UTC)))
    catalog.append(landing("a", datetime(2024, 3, 5, tzinfo=UTC)))
    assert ids(catalog.current(as_of=date(2024, 2, 29))) == []
    assert ids(catalog.current(as_of=date(2024, 3, 1))) == ["a"]
    assert ids(catalog.current(as_of=date(2024, 3, 2))) == ["b"]
    assert ids(catalog.current(as_of=date(2024, 3, 4))) == ["b"]
    assert ids(catalog.current(as_of=date(2024, 3, 5))) == ["a"]
    assert ids(catalog.current(as_of=date.max)) == ["a"]
    assert ids(catalog.current()) == ["a"]


def test_what_is_quarantined_is_never_current(lake: str) -> None:
    catalog = Catalog(lake)
    catalog.append(landing("a"))
    catalog.append(
        landing("b", NOON + timedelta(days=1), status="quarantined", error="it is cut short")
    )
    assert ids(catalog.current()) == ["a"]
    assert ids(catalog.quarantined()) == ["b"]
    assert ids(catalog.versions()) == ["a", "b"]
    assert catalog.newest("green", JANUARY).error == "it is cut short"
    catalog.append(landing("c", NOON + timedelta(days=2)))
    assert ids(catalog.current()) == ["c"]
    assert catalog.quarantined() == []


def test_a_content_that_is_distrusted_later_is_current_no_more(lake: str) -> None:
    catalog = Catalog(lake)
    catalog.append(landing("a"))
    catalog.append(landing("b", NOON + timedelta(days=1)))
    catalog.append(
        landing("b", NOON + timedelta(days=2), status="quarantined", error="a check is stricter")
    )
    assert ids(catalog.current()) == ["a"]


def test_a_version_is_found_by_its_content_in_its_own_month(lake: str) -> None:
    catalog = Catalog(lake)
    january = catalog.append(landing("a"))
    february = catalog.append(landing("a", NOON + timedelta(days=1), month=FEBRUARY))
    assert catalog.version(("green", JANUARY, None), "a" * 64) == january
    assert catalog.version(("green", FEBRUARY, None), "a" * 64) == february
    assert catalog.version(("green", JANUARY, None), "b" * 64) is None
    assert catalog.version(("yellow", JANUARY, None), "a" * 64) is None


def test_an_etag_alone_says_whether_a_file_is_held(lake: str) -> None:
    catalog = Catalog(lake)
    held = catalog.append(landing("a"))
    assert catalog.holds(published(held))
    assert catalog.holds(published(held, last_modified=None, bytes=None))
    assert not catalog.holds(published(held, etag='"b"'))
    assert not catalog.holds(published(held, month=FEBRUARY))
    assert not catalog.holds(published(held, dataset="yellow"))
    assert not catalog.holds(published(held, url="file:///elsewhere.parquet"))


def test_without_an_etag_date_and_length_must_both_agree(lake: str) -> None:
    catalog = Catalog(lake)
    held = catalog.append(landing("a", etag=None))
    assert catalog.holds(published(held))
    assert not catalog.holds(published(held, last_modified=NOON))
    assert not catalog.holds(published(held, last_modified=None))
    assert not catalog.holds(published(held, bytes=1001))
    assert not catalog.holds(published(held, bytes=None))


def test_nothing_is_held_where_a_publisher_says_nothing(lake: str) -> None:
    catalog = Catalog(lake)
    held = catalog.append(landing("a", etag=None, last_modified=None))
    assert not catalog.holds(published(held))


def test_only_the_last_publication_counts_as_held(lake: str) -> None:
    catalog = Catalog(lake)
    before = catalog.append(landing("a"))
    after = catalog.append(landing("b", NOON + timedelta(days=1)))
    assert not catalog.holds(published(before))
    assert catalog.holds(published(after))


def test_names_and_keys_lead_back_to_the_content() -> None:
    one = landing("a", file_id="1512a953fedcba98" + "0" * 48)
    assert one.name == "green 2024-01"
    assert one.table_name == "green_tripdata_2024_01__1512a953"
    assert one.file_key == 0x1512A953FEDCBA9
    assert landing("f").file_key < 2**63
    assert version_name(("taxi_zone_lookup", None, None), "ab" * 32) == "taxi_zone_lookup__abababab"


def test_a_thousand_landings_are_read_in_well_under_a_second(lake: str) -> None:
    catalog = Catalog(lake)
    columns = tuple((f"column_{i}", "double") for i in range(24))
    for n in range(1000):
        month = date(2009 + n // 120, n // 10 % 12 + 1, 1)
        catalog.append(landing("a", NOON + timedelta(minutes=n), month=month, columns=columns))

    def read() -> float:
        # of this process: what others do on the machine is not the catalog's
        began = time.process_time()
        catalog = Catalog(lake)
        assert len(catalog.landings) == 1000
        assert len(catalog.current()) == len(catalog.versions()) == 100
        return time.process_time() - began

    assert min(read() for _ in range(3)) < 0.4


# --- decisions -----------------------------------------------------------------------------------


def decided(of: FileVersion, what: Verdict, day: int) -> Decision:
    at = NOON + timedelta(days=day)
    return replace(decide(of, what, "Its fares are in cents."), decided_at=at, by="ann")


def test_a_withdrawn_version_is_passed_over_from_that_day_until_it_is_taken_back(lake: str) -> None:
    catalog = Catalog(lake)
    a, b = (catalog.append(landing(x, NOON + timedelta(days=i))) for i, x in enumerate("ab"))
    catalog.decide(decided(b, "withdrawn", 2))
    for known in (catalog, Catalog(lake)):
        assert ids(known.current()) == ["a"]
        newest = known.newest(*b.key)
        assert newest
        assert newest.status == "withdrawn"
        assert newest.error == "withdrawn on 2024-03-03 by ann: Its fares are in cents."
        assert known.holds(published(b))
        assert ids(known.current(date(2024, 3, 2))) == ["b"]
        assert [(v.file_id[0], since.day) for v, since, _ in known.days_current()] == [
            ("a", 1),
            ("b", 2),
            ("a", 3),
        ]
    catalog.decide(decided(a, "withdrawn", 3))
    assert catalog.current() == []
    # what was landed meanwhile is newer than what is taken back
    catalog.append(landing("c", NOON + timedelta(days=4)))
    catalog.decide(decided(b, "taken back", 5))
    assert ids(Catalog(lake).current()) == ["c"]
    assert ids(Catalog(lake).passed_over()) == ["a"]
    # the same bytes again are still withdrawn
    catalog.append(landing("a", NOON + timedelta(days=6)))
    assert ids(Catalog(lake).current()) == ["c"]


def test_a_forgotten_version_is_so_on_every_past_day(lake: str) -> None:
    catalog = Catalog(lake)
    catalog.decide(decided(catalog.append(landing("a")), "forgotten", 9))
    assert catalog.current(date(2024, 3, 1)) == []
    assert catalog.days_current() == []


def test_a_decision_is_no_record_for_an_earlier_release_and_none_may_change_it(lake: str) -> None:
    catalog = Catalog(lake)
    made = catalog.decide(decided(catalog.append(landing("a")), "withdrawn", 1))
    path = Path(lake.removeprefix("file://")) / made.name
    said = json.loads(path.read_bytes())
    assert said["format"] == 2
    assert Catalog(lake).decisions == [made]
    for change in ({"reason": "none"}, {"by": "bob"}, {"decision": "forgotten"}):
        path.write_text(json.dumps(said | change))
        assert Catalog(lake).changed == [made.name]
    for change in ({"decision": "liked"}, {"month": "2024-02-01"}, {"file_id": "b" * 64}):
        path.write_text(json.dumps(said | change))
        assert [x.name for x in Catalog(lake).unreadable] == [made.name]


def test_a_landing_has_no_status_of_a_decision(lake: str) -> None:
    Catalog(lake).append(landing("a"))
    changed_record(lake, status="withdrawn")
    (found,) = Catalog(lake).unreadable
    assert found.reason == "status: 'withdrawn' is no status of a landing"


def test_a_landing_in_quarantine_has_a_reason(lake: str) -> None:
    Catalog(lake).append(landing("a"))
    changed_record(lake, status="quarantined")
    (found,) = Catalog(lake).unreadable
    assert found.reason == "error: there is none, and the version is in quarantine"


def test_a_version_is_superseded_when_it_was_last_replaced_or_withdrawn(lake: str) -> None:
    def at(day: int) -> datetime:
        return NOON + timedelta(days=day)

    catalog = Catalog(lake)
    first, second, again, third = (
        catalog.append(landing(content, at(day)))
        for content, day in (("a", 1), ("b", 2), ("a", 3), ("c", 5))
    )
    assert first.file_id == again.file_id
    assert catalog.superseded_at(first.key) == {second.file_id: at(3), first.file_id: at(5)}
    # while the third is withdrawn, the first is current again
    withdrawn = catalog.decide(decided(third, "withdrawn", 7))
    assert catalog.superseded_at(first.key) == {
        second.file_id: at(3),
        third.file_id: withdrawn.decided_at,
    }
    back = catalog.decide(decided(third, "taken back", 9))
    assert catalog.superseded_at(first.key)[first.file_id] == back.decided_at
    assert Catalog(lake).superseded_at(first.key) == catalog.superseded_at(first.key)
