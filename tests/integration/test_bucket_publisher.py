"""A source whose files are in a bucket: found, fetched, re-published, gone, and out of reach."""

from datetime import date
from pathlib import Path

import pytest

from ingestion.errors import FetchError
from ingestion.land import Outcome, land
from ingestion.object_stores.file_systems import file_system
from ingestion.settings import Settings, load_settings
from ingestion.sources.base import PublishedFile
from ingestion.sources.files.download import fetch
from tests.support.stores import Store
from tests.support.trips import trips

JANUARY = date(2024, 1, 1)
MONTH = "trip-data/green_tripdata_2024-01.parquet"


@pytest.fixture
def bucket(store: Store) -> str:
    if store.kind == "file":
        pytest.skip("a folder has tests of its own")
    return store.new_lake("published")


@pytest.fixture
def settings(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MEDALLION_TLC_URL", bucket)
    monkeypatch.setenv("MEDALLION_LAKE_URL", str(tmp_path / "lake"))
    monkeypatch.setenv("MEDALLION_WORK_DIR", str(tmp_path / "work"))
    return load_settings()


def put(bucket: str, name: str, content: bytes) -> None:
    scheme, _, path = bucket.partition("://")
    file_system(scheme).pipe_file(f"{path}/{name}", content)


def content(folder: Path, rows: int) -> bytes:
    import pyarrow.parquet as pq

    pq.write_table(trips("green", JANUARY, rows), folder / "month.parquet")
    return (folder / "month.parquet").read_bytes()


def test_a_month_is_landed_once_and_again_when_it_changes(
    settings: Settings, bucket: str, tmp_path: Path
) -> None:
    put(bucket, MONTH, content(tmp_path, 20))
    outcomes = [
        [(f.published.name, f.outcome) for f in land(settings, ["green"], JANUARY, JANUARY).files]
        for _ in range(2)
    ]
    assert ("green 2024-01", Outcome.NEW) in outcomes[0]
    assert ("green 2024-01", Outcome.UNCHANGED) in outcomes[1]
    put(bucket, MONTH, content(tmp_path, 21))
    (again, *_) = land(settings, ["green"], JANUARY, JANUARY).files
    assert again.outcome is Outcome.REPUBLISHED
    assert again.landing is not None
    assert (again.landing.row_count, again.landing.source_url) == (21, f"{bucket}/{MONTH}")


def test_what_is_gone_or_out_of_reach_is_one_line(
    settings: Settings, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = PublishedFile("green", JANUARY, f"{bucket}/{MONTH}", *(None, None, None))
    with pytest.raises(FetchError, match=r"^green 2024-01: .* was published and is gone"):
        fetch(gone, tmp_path / "spool")
    nowhere = "http://127.0.0.1:9"
    monkeypatch.setenv("AWS_ENDPOINT_URL", nowhere)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", nowhere)
    monkeypatch.setenv(
        "AZURE_STORAGE_CONNECTION_STRING",
        f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey=eA==;BlobEndpoint={nowhere}/a;",
    )
    if bucket.startswith("s3"):  # the others take minutes to give up
        file_system("s3").clear_instance_cache()
        with pytest.raises(FetchError, match=r"^Cannot read s3://.*: the store does not answer"):
            land(settings, ["green"], JANUARY, JANUARY)
