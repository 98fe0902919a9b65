"""Stores that refuse, are silent, lie or are not there: one line, nothing half-landed, and on."""

import asyncio
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest

from ingestion.errors import MedallionError, UnreachableError
from ingestion.lake.catalog import Catalog
from ingestion.lake.storage.store import open_lake
from ingestion.lake.verify import verify
from ingestion.land import Outcome, land
from ingestion.load import load
from ingestion.object_stores import file_systems as stores
from ingestion.settings import Settings
from orchestration.job.doctor import Check, doctor
from tests.support.fault_proxy import (
    Before,
    Cut,
    FaultProxy,
    Flip,
    Hang,
    Pause,
    Refuse,
    Trickle,
    in_front_of,
    in_front_of_s3,
)
from tests.support.gold import AFTER, BEFORE, Gold
from tests.support.ports import free_port
from tests.support.stores import S3, Store, forget_file_systems, fresh_environment
from tests.support.trips import publish, trips

pytestmark = pytest.mark.slow

MakeSettings = Callable[..., Settings]
Servers = Callable[[str], Store]

JANUARY = date(2024, 1, 1)
CLOUDS = ("s3", "gs", "az")


@pytest.fixture
def month(published: Path) -> Path:
    """The file of green 2024-01, published."""
    return publish(published, "green", JANUARY, trips("green", JANUARY))


def fault_of(work: Callable[[], object]) -> str:
    """The one line that it fails with."""
    with pytest.raises(MedallionError) as fault:
        work()
    assert "\n" not in str(fault.value)
    assert fault.value.exit_code == 1
    return str(fault.value)


def every_command(settings: Settings) -> list[str]:
    """How landing, loading and verifying fail."""
    return [fault_of(lambda w=work: w(settings)) for work in (land, load, verify)]  # type: ignore[misc]


@pytest.fixture
def proxy(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """The network between us and S3; the SDK tries twice."""
    monkeypatch.setattr(stores, "SILENCE_SECONDS", 0.5)
    with in_front_of_s3(s3, attempts=2) as proxy:
        yield proxy


@pytest.fixture
def settings(s3: S3, make_settings: MakeSettings) -> Settings:
    return make_settings(lake_url=s3.new_lake())


@contextmanager
def reached_through_a_proxy(store: Store) -> Iterator[FaultProxy]:
    """The network between us and a store, by the address that the environment names it by."""
    found = re.search(r"http://[^;/ ]+", " ".join(store.environment.values()))
    assert found
    with in_front_of(found[0]) as proxy:
        through = {k: v.replace(found[0], proxy.url) for k, v in store.environment.items()}
        with fresh_environment(through):
            yield proxy


def assert_lands_and_loads(settings: Settings) -> None:
    """As if nothing had happened."""
    assert len(land(settings).of(Outcome.NEW)) == 1
    assert [v.error for v in verify(settings)] == [None]
    assert load(settings).failed == {}


# --- who we are ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLOUDS)
def test_missing_credentials_are_named(
    kind: str, store_servers: Servers, make_settings: MakeSettings, month: Path
) -> None:
    settings = make_settings(lake_url=f"{kind}://lakes/lake")
    endpoint = {}
    if kind == "s3":
        endpoint["AWS_ENDPOINT_URL"] = store_servers("s3").environment["AWS_ENDPOINT_URL"]
    with fresh_environment(endpoint):
        for line in every_command(settings):
            assert f"the lake {kind}://lakes/lake: there are no credentials for it: set" in line


@pytest.mark.parametrize(
    ("kind", "said"),
    # Azurite's word for a wrong key is Azure's for a missing permission
    [("s3", "the store does not accept the credentials"), ("az", "the store denies it")],
)
def test_wrong_credentials_are_said_to_be_wrong_and_are_not_shown(
    kind: str, said: str, store_servers: Servers, make_settings: MakeSettings, month: Path
) -> None:
    store = store_servers(kind)
    secret = "d3Jvbmcgc2VjcmV0" * 4
    wrong = {
        k: secret if k == "AWS_SECRET_ACCESS_KEY" else re.sub("Key=[^;]*", f"Key={secret}", v)
        for k, v in store.environment.items()
    }
    with fresh_environment(wrong):
        for line in every_command(make_settings(lake_url=store.new_lake())):
            assert said in line
            assert secret not in line


def test_a_key_that_is_rotated(
    s3: S3, make_settings: MakeSettings, month: Path, tmp_path: Path
) -> None:
    """As docs/operations.md says: a second key, then the first one goes."""
    gold = Gold(make_settings(lake_url=s3.new_lake(), publish_url=s3.new_lake("gold")))
    settings = gold.settings

    def lines() -> dict[str, Check]:
        return {check.name: check for check in doctor(settings)}

    with fresh_environment(s3.environment):
        land(settings)
        gold.publish(BEFORE)
    with fresh_environment(s3.environment | s3.second_key):
        found = lines()
        assert found["lake"].good
        assert found["publications"].good
        assert land(settings).of(Outcome.UNCHANGED)
        gold.publish(AFTER)
        assert gold.shown() == AFTER
    gone = {"AWS_ACCESS_KEY_ID": "gone", "AWS_SECRET_ACCESS_KEY": "g0ne-s3cret"}
    with fresh_environment(s3.environment | gone):
        found = lines()
        for name in ("lake", "publications"):
            assert not found[name].good
            assert "does not accept the credentials: check AWS_ACCESS_KEY_ID" in found[name].detail
        assert "g0ne-s3cret" not in repr(found)


def test_who_may_only_read_is_denied_by_name_of_the_docs(
    s3: S3, settings: Settings, month: Path
) -> None:
    with fresh_environment(s3.environment | s3.reader):
        line = fault_of(lambda: land(settings))
        assert f"Cannot write to the lake {settings.lake_url}: the store denies it" in line
        assert "docs/lake.md" in line
        assert Catalog(settings.lake_url).landings == []
    with fresh_environment(s3.environment):
        assert_lands_and_loads(settings)
    with fresh_environment(s3.environment | s3.reader):
        assert land(settings).of(Outcome.UNCHANGED)
        assert [v.error for v in verify(settings)] == [None]


# --- where it is ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLOUDS)
def test_a_bucket_that_is_not_there_is_named_and_not_made(
    kind: str, store_servers: Servers, make_settings: MakeSettings, month: Path
) -> None:
    store = store_servers(kind)
    with fresh_environment(store.environment):
        settings = make_settings(lake_url=f"{kind}://no-such-bucket/lake")
        for _ in range(2):
            for line in every_command(settings):
                assert "there is no no-such-bucket there" in line


def test_an_endpoint_where_nobody_listens_may_come_back(
    s3: S3, settings: Settings, month: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    forget_file_systems()
    with pytest.raises(UnreachableError, match="the store does not answer: Could not connect"):
        land(settings)


# --- what it does --------------------------------------------------------------------------------


def test_an_endpoint_that_hangs_is_given_up(
    proxy: FaultProxy, settings: Settings, month: Path
) -> None:
    proxy.fail("GET", "list-type", Hang())
    for work in (land, load, verify):
        with pytest.raises(UnreachableError, match="the store does not answer"):
            work(settings)
    proxy.heal()
    proxy.fail("PUT", "/raw/green/", Hang())
    with pytest.raises(UnreachableError, match="the store does not answer"):
        land(settings)
    assert Catalog(settings.lake_url).landings == []
    proxy.heal()
    assert_lands_and_loads(settings)


@pytest.mark.parametrize("kind", ["gs", "az"])
def test_other_endpoints_that_hang_are_given_up_too(
    kind: str,
    store_servers: Servers,
    make_settings: MakeSettings,
    month: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stores, "SILENCE_SECONDS", 0.5)
    store = store_servers(kind)
    # as often as ever, but without the SDKs' half minute of pauses
    monkeypatch.setattr(stores, "PAUSE_SECONDS", 0)
    monkeypatch.setattr("gcsfs.retry.asyncio", SimpleNamespace(sleep=lambda _: asyncio.sleep(0)))
    settings = make_settings(lake_url=store.new_lake())
    with reached_through_a_proxy(store) as proxy:
        for methods, cannot in ((("GET", "HEAD"), "read"), (("PUT", "POST"), "write to")):
            for method in methods:
                proxy.fail(method, "", Hang())
            with pytest.raises(UnreachableError, match=f"Cannot {cannot} .* does not answer"):
                land(settings)
            proxy.heal()
        assert Catalog(settings.lake_url).landings == []
        assert_lands_and_loads(settings)


@pytest.mark.parametrize("kind", CLOUDS)
def test_a_slow_line_is_no_silence(
    kind: str,
    store_servers: Servers,
    make_settings: MakeSettings,
    month: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stores, "SILENCE_SECONDS", 0.5)
    store = store_servers(kind)
    settings = make_settings(lake_url=store.new_lake())
    with reached_through_a_proxy(store) as proxy:
        land(settings)
        proxy.fail("GET", "green_tripdata_2024_01", Trickle())
        assert [v.error for v in verify(settings)] == [None]


def test_a_store_that_pauses_while_it_is_sent_to_is_waited_for(
    proxy: FaultProxy, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(stores, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(stores, "SILENCE_SECONDS", 30)
    forget_file_systems()
    file = tmp_path / "large"
    file.write_bytes(os.urandom(3 * stores.PART_BYTES))
    file_id = hashlib.sha256(file.read_bytes()).hexdigest()
    proxy.fail("PUT", "partNumber=2", Pause(1), times=1)
    open_lake(settings).put(file, "raw/large", file_id)
    assert open_lake(settings).sha256("raw/large") == file_id


def test_what_passes_is_tried_again(
    proxy: FaultProxy, settings: Settings, month: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    forget_file_systems()
    for method, what in (("GET", "list-type"), ("PUT", "/raw/green/"), ("PUT", "/catalog/")):
        proxy.fail(method, what, Refuse(503, "ServiceUnavailable"), times=1)
    proxy.fail("PUT", "/raw/green/", Refuse(503, "SlowDown"), times=1)
    proxy.fail("GET", "/raw/green/", Cut(), times=1)
    assert_lands_and_loads(settings)


@pytest.mark.parametrize("where", ["/raw/green/", "/catalog/"])
def test_a_store_that_stays_busy_is_given_up(
    where: str, proxy: FaultProxy, settings: Settings, month: Path
) -> None:
    proxy.fail("PUT", where, Refuse(503, "ServiceUnavailable"))
    line = fault_of(lambda: land(settings))
    assert line.startswith(f"Cannot write to the lake {settings.lake_url}: the store is too busy")
    assert Catalog(settings.lake_url).landings == []
    proxy.heal()
    assert_lands_and_loads(settings)


def test_a_wrong_clock_is_said_to_be_wrong(
    proxy: FaultProxy, settings: Settings, month: Path
) -> None:
    proxy.fail("GET", "list-type", Refuse(403, "RequestTimeTooSkewed"))
    for line in every_command(settings):
        assert "this machine's clock is wrong" in line


# What is asked of each store to learn what it holds of an object that was just written.
PROOF = {"s3": ("HEAD", "/raw/green/"), "gs": ("GET", "raw%2Fgreen"), "az": ("GET", "/raw/green/")}


@pytest.mark.parametrize("kind", CLOUDS)
def test_what_a_store_holds_otherwise_than_it_was_written_is_not_landed(
    kind: str,
    store_servers: Servers,
    make_settings: MakeSettings,
    month: Path,
) -> None:
    store = store_servers(kind)
    settings = make_settings(lake_url=store.new_lake())
    with reached_through_a_proxy(store) as proxy:
        content = month.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        name = f"raw/green/green_tripdata_2024_01__{digest[:8]}.parquet"

        def damage() -> None:
            open_lake(settings).write(name, content[:-1] + b"?")

        proxy.fail(*PROOF[kind], Before(damage))
        line = fault_of(lambda: land(settings))
        assert f"{settings.lake_url}/{name} does not hold what was written to it" in line
        proxy.heal()
        assert Catalog(settings.lake_url).landings == []
        assert_lands_and_loads(settings)


def test_what_comes_otherwise_than_it_was_landed_is_not_loaded(
    proxy: FaultProxy, settings: Settings, month: Path
) -> None:
    land(settings)
    proxy.fail("GET", "/raw/green/", Flip())
    (reason,) = load(settings).failed.values()
    assert "has changed since it was landed" in reason
    assert len([v.error for v in verify(settings) if v.error]) == 1
    proxy.heal()
    assert load(settings).failed == {}
