"""A lake in a folder and in the buckets of three clouds: the same bytes, the same answers."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import duckdb
import pytest

import ingestion
from ingestion.lake.catalog import Catalog
from ingestion.lake.forget import forget, objects_of, to_forget
from ingestion.lake.history import compare
from ingestion.lake.storage.store import open_lake
from ingestion.lake.verify import orphans, restore, verify
from ingestion.land import LandReport, land
from ingestion.load import load
from ingestion.progress import Quiet
from ingestion.settings import Settings
from ingestion.warehouse import connect
from tests.support.stores import Store, fresh_environment
from tests.support.trips import ZONES, publish, trips

pytestmark = pytest.mark.slow

MakeSettings = Callable[..., Settings]

JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)


def outcomes(report: LandReport) -> dict[str, str]:
    return {f.published.name: f.outcome.value for f in report.files}


@pytest.fixture
def settings(store: Store, published: Path, make_settings: MakeSettings) -> Settings:
    return make_settings(lake_url=store.new_lake())


def test_versions_are_landed_once_and_verified(settings: Settings, published: Path) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY))
    publish(published, "green", FEBRUARY, b"<?xml version='1.0'?><Error/>")
    publish(published, "taxi_zone_lookup", None, ZONES)
    assert set(outcomes(land(settings)).values()) == {"new", "quarantined"}
    publish(published, "green", JANUARY, trips("green", JANUARY, seed=1))
    assert outcomes(land(settings))["green 2024-01"] == "re-published"
    assert outcomes(land(settings))["green 2024-01"] == "unchanged"
    before, after = compare(settings, "green", JANUARY)
    assert (before.fault, after.fault) == (None, None)
    assert after.changes is not None
    assert after.changes.rows is not None
    assert after.changes.rows.equal < trips("green", JANUARY).num_rows
    verified = verify(settings)
    assert len(verified) == 4
    assert not [v for v in verified if v.error]


def test_what_is_forgotten_leaves_every_store(settings: Settings, published: Path) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY))
    publish(published, "green", FEBRUARY, trips("green", FEBRUARY))
    land(settings)
    key = ("green", JANUARY, None)
    (version,) = versions = to_forget(settings, key, None)
    assert list(objects_of(settings, versions)) == [version.lake_path]
    forget(settings, versions, "A court order.", Quiet())
    assert objects_of(settings, versions) == {}
    forget(settings, versions, "", Quiet())
    assert outcomes(land(settings)) == {
        "green 2024-01": "passed over",
        "green 2024-02": "unchanged",
    }
    assert [(v.landing.name, v.error) for v in verify(settings)] == [("green 2024-02", None)]
    assert orphans(settings) == []


def test_a_file_of_several_parts_is_stored_byte_for_byte(
    settings: Settings, tmp_path: Path
) -> None:
    content = os.urandom(20 << 20)
    file = tmp_path / "large"
    file.write_bytes(content)
    store = open_lake(settings)
    expected = hashlib.sha256(content).hexdigest()
    store.put(file, "raw/green/large", expected)
    assert store.sha256("raw/green/large") == expected
    assert store.fetch("raw/green/large", tmp_path / "copy") == expected
    assert (tmp_path / "copy").read_bytes() == content


def test_a_lake_is_loaded_as_it_was_landed(settings: Settings, published: Path) -> None:
    tables = {month: trips("green", month, seed=month.month) for month in (JANUARY, FEBRUARY)}
    for month, table in tables.items():
        publish(published, "green", month, table)
    publish(published, "taxi_zone_lookup", None, ZONES)
    land(settings)
    report = load(settings)
    assert report.failed == {}
    assert len(report.loaded) == 3
    with duckdb.connect(settings.duckdb_path, read_only=True) as connection:
        for version in report.loaded:
            if version.month:
                raw = connection.sql(f"from raw.{version.table_name}").to_arrow_table()
                assert raw.to_pylist() == tables[version.month].to_pylist()
        shown = connection.sql("select count(*) from tlc.green_tripdata").fetchall()
    assert shown == [(sum(table.num_rows for table in tables.values()),)]
    # no copy is left behind
    assert list(settings.work_dir.rglob("*.parquet")) == []


def test_what_changed_behind_our_back_is_found_named_and_not_loaded(
    settings: Settings, published: Path
) -> None:
    for month in (JANUARY, FEBRUARY):
        publish(published, "green", month, trips("green", month))
    land(settings)
    changed, gone = Catalog(settings.lake_url).versions()
    store = open_lake(settings)
    store.write(changed.lake_path, b"PAR1 something else PAR1")
    store.fs.rm(store.path(gone.lake_path))
    verified = {v.landing.lake_path: v for v in verify(settings)}
    faults = {path: v.error or "" for path, v in verified.items()}
    assert "its bytes have changed" in faults[changed.lake_path]
    assert faults[gone.lake_path] == "it is gone"
    report = load(settings)
    assert set(report.failed) == {changed.table_name, gone.table_name}
    for version in (changed, gone):
        assert version.lake_path in verified[version.lake_path].remedy
    # as it says: what is still published comes back to where it was, and nothing else does
    publish(published, "green", FEBRUARY, trips("green", FEBRUARY, seed=1))
    restored, still_gone = restore(settings, verified.values())
    assert restored.is_restored
    assert still_gone.error == "it is gone"
    assert "what is published now is another version" in still_gone.remedy
    assert [v.error for v in verify(settings)] == [None, "it is gone"]
    assert Catalog(settings.lake_url).versions() == [changed, gone]
    assert orphans(settings) == []
    store.fs.rm(store.path(store.names("catalog/green/2024-01")[0]))
    assert [s.path for s in orphans(settings)] == [changed.lake_path]
    land(settings, ["green"], JANUARY, JANUARY)
    assert orphans(settings) == []
    assert load(settings).failed.keys() == {gone.table_name}


@pytest.mark.parametrize("name", ["my lake", "100%25 #1", "Zoë's {x} x=1"])
def test_a_lake_by_any_name_is_one_lake(
    name: str, store: Store, published: Path, make_settings: MakeSettings
) -> None:
    settings = make_settings(lake_url=store.new_lake(name))
    publish(published, "green", JANUARY, trips("green", JANUARY))
    land(settings)
    assert not [v for v in verify(settings) if v.error]
    assert outcomes(land(settings)) == {"green 2024-01": "unchanged"}
    assert len(load(settings).loaded) == 1


# Each is a pattern that the other name matches.
@pytest.mark.parametrize(("name", "other"), [("a?b", "aXb"), ("a*b", "aXb"), ("a[X]b", "aXb")])
@pytest.mark.parametrize("kind", ["file", "s3"])  # elsewhere, the settings refuse such names
def test_a_lake_is_read_alone_where_its_name_is_a_pattern(
    kind: str,
    name: str,
    other: str,
    store_servers: Callable[[str], Store],
    published: Path,
    tmp_path: Path,
    make_settings: MakeSettings,
) -> None:
    store = store_servers(kind)
    folder = str(tmp_path / "lakes") if kind == "file" else store.new_lake()
    with fresh_environment(store.environment):
        for month in (JANUARY, FEBRUARY):
            publish(published, "green", month, trips("green", month))
        beside = make_settings(lake_url=f"{folder}/{other}")
        land(beside)
        for path in open_lake(beside).names("raw"):
            open_lake(beside).write(path, b"not to be read")
        settings = make_settings(lake_url=f"{folder}/{name}")
        land(settings)
        assert ingestion.dataset("green", settings=settings).read_all().num_rows == 40
        assert load(settings).rows == 40
        in_place = settings.model_copy(update={"raw": "in_place"})
        assert load(in_place).rows == 40
        assert load(in_place).loaded == []
        with connect(in_place, read_only=True) as session:
            shown = session.query("select count(*) from tlc.green_tripdata").rows
        assert shown == [(40,)]


def test_a_folder_on_the_way_to_a_lake_is_no_column_of_it(
    store: Store, published: Path, make_settings: MakeSettings
) -> None:
    settings = make_settings(lake_url=store.new_lake("env=prod"), raw="in_place")
    publish(published, "green", JANUARY, trips("green", JANUARY))
    publish(published, "taxi_zone_lookup", None, ZONES)
    land(settings)
    for raw in ("in_place", "loaded"):
        made = settings.model_copy(update={"raw": raw})
        report = load(made)
        assert len(report.loaded) == 2
        with connect(made, read_only=True) as session:
            for version in report.loaded:
                found = session.arrow(f"from raw.{version.table_name}").read_all()
                assert found.column_names == [name for name, _ in version.columns]


def test_what_others_keep_in_the_bucket_disturbs_nobody_and_is_left_alone(
    settings: Settings, published: Path
) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY))
    land(settings)
    store = open_lake(settings)
    foreign = {
        "README.md": b"ours",
        "raw/green/theirs.parquet": b"not ours",
        "catalog/green/2024-01/notes.txt": b"not ours",
        "catalog/green/2024-01/theirs.json": b'{"not": "ours"}',
    }
    for name, content in foreign.items():
        store.write(name, content)
    assert outcomes(land(settings)) == {"green 2024-01": "unchanged"}
    assert [v.error for v in verify(settings)] == [None]
    assert len(load(settings).loaded) == 1
    assert store.read_all(list(foreign)) == list(foreign.values())


WITHOUT = """
import sys
sys.modules[{package!r}] = None  # as if it were not installed
from ingestion.errors import UsageError
from ingestion.lake.storage.store import Store
try:
    Store({url!r})
except UsageError as exc:
    print(exc)
"""


@pytest.mark.parametrize(("kind", "package"), [("s3", "s3fs"), ("gs", "gcsfs"), ("az", "adlfs")])
def test_a_missing_extra_is_named(kind: str, package: str) -> None:
    url = f"{kind}://lakes/lake"
    script = WITHOUT.format(package=package, url=url)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == (
        f"Cannot open the lake {url}: a package is missing. Install medallion[{kind}], here:"
        f" uv sync --extra {kind}\n"
    )


def test_s3_encrypts_and_classes_as_is_set(
    store_servers: Callable[[str], Store], published: Path, make_settings: MakeSettings
) -> None:
    server = store_servers("s3")
    with fresh_environment(server.environment):
        settings = make_settings(
            lake_url=server.new_lake(),
            lake_encryption="AES256",
            lake_storage_class="STANDARD_IA",
        )
        publish(published, "green", JANUARY, trips("green", JANUARY))
        land(settings)
        assert [v.error for v in verify(settings)] == [None]
        lake = open_lake(settings)
        kept = {}
        for name in lake.names("raw/green") + lake.names("catalog"):
            bucket, _, key = lake.path(name).partition("/")
            kept[name.partition("/")[0]] = lake.fs.call_s3("head_object", Bucket=bucket, Key=key)
    assert {name: head["ServerSideEncryption"] for name, head in kept.items()} == {
        "raw": "AES256",
        "catalog": "AES256",
    }
    assert kept["raw"]["StorageClass"] == "STANDARD_IA"
    assert kept["catalog"].get("StorageClass", "STANDARD") == "STANDARD"


def test_azure_keeps_files_in_the_tier_that_is_set(
    store_servers: Callable[[str], Store], published: Path, make_settings: MakeSettings
) -> None:
    from azure.storage.blob import BlobServiceClient

    server = store_servers("az")
    with fresh_environment(server.environment):
        settings = make_settings(lake_url=server.new_lake(), lake_storage_class="Cool")
        publish(published, "green", JANUARY, trips("green", JANUARY))
        land(settings)
        (landing,) = Catalog(settings.lake_url).landings
        container, _, key = open_lake(settings).path(landing.lake_path).partition("/")
        connection = server.environment["AZURE_STORAGE_CONNECTION_STRING"]
        with BlobServiceClient.from_connection_string(connection) as client:
            blob = client.get_blob_client(container, key)
            assert blob.get_blob_properties().blob_tier == "Cool"


def test_google_is_told_of_a_key(
    store_servers: Callable[[str], Store], published: Path, make_settings: MakeSettings
) -> None:
    """The emulator takes the key's name and does nothing with it; the bytes come through."""
    server = store_servers("gs")
    with fresh_environment(server.environment):
        key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
        settings = make_settings(lake_url=server.new_lake(), lake_encryption=key)
        publish(published, "green", JANUARY, trips("green", JANUARY))
        land(settings)
        assert [v.error for v in verify(settings)] == [None]
