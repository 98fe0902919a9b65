"""A store that fails at any of its requests: a landing is whole, or is reported and done again."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from ingestion.errors import MedallionError
from ingestion.lake.catalog import Catalog
from ingestion.lake.storage.store import open_lake
from ingestion.lake.verify import verify
from ingestion.land import Outcome, land
from ingestion.object_stores import file_systems as stores
from ingestion.settings import Settings
from tests.conftest import MakeSettings, settings_in
from tests.faults.conftest import Tally
from tests.support.fault_proxy import Cut, FaultProxy, Hang, Refuse, in_front_of_s3
from tests.support.lakes import sha256
from tests.support.stores import S3, Store, forget_file_systems, fresh_environment
from tests.support.trips import publish, trips

pytestmark = pytest.mark.slow

MONTHS = [date(2024, 1, 1), date(2024, 2, 1)]
FAULTS = {
    "500": Refuse(500, "InternalError"),
    "503": Refuse(503, "ServiceUnavailable"),
    "throttled": Refuse(503, "SlowDown"),
    "cut": Cut(),
    "hanging": Hang(),
}


@pytest.fixture
def proxy(s3: S3) -> Iterator[FaultProxy]:
    """The network between us and S3, of which nothing is waited for for long."""
    with in_front_of_s3(s3) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def requests(
    store_servers: Callable[[str], Store], tmp_path_factory: pytest.TempPathFactory
) -> int:
    """How many requests an undisturbed landing of the two months has."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for month in MONTHS:
        publish(folder / "published", "green", month, trips("green", month))
    s3 = store_servers("s3")
    assert isinstance(s3, S3)
    with fresh_environment(s3.environment), in_front_of_s3(s3) as proxy:
        land(settings_in(folder, lake_url=s3.new_lake()))
        return len(proxy.asked)


@contextmanager
def patient_for(seconds: float) -> Iterator[None]:
    """A store is silent for no longer: not where it is busy, where it is meant to hang."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stores, "SILENCE_SECONDS", seconds)
        forget_file_systems()
        yield
    forget_file_systems()


def is_whole(settings: Settings, published: dict[date, Path]) -> bool:
    """Whether the lake holds each month once, as it is published, and everything in its place."""
    current = Catalog(settings.lake_url).current()
    store = open_lake(settings)
    return (
        {v.month: v.file_id for v in current} == {m: sha256(p) for m, p in published.items()}
        and all(store.sha256(v.lake_path) == v.file_id for v in current)
        and len(Catalog(settings.lake_url).landings) == len(published)
        and [v.error for v in verify(settings) if v.error] == []
    )


def fails(settings: Settings) -> bool:
    """Whether a landing says, in one line, that it went wrong."""
    try:
        return bool(land(settings).of(Outcome.FAILED))
    except MedallionError as exc:
        return "\n" not in str(exc)


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("kind", FAULTS)
def test_a_landing_that_a_store_fails_is_told_of_and_done_again(
    kind: str,
    for_good: bool,
    s3: S3,
    proxy: FaultProxy,
    requests: int,
    make_settings: MakeSettings,
    published: Path,
    at_length: bool,
    tally: Tally,
) -> None:
    if not at_length and for_good != (list(FAULTS).index(kind) % 2 == 1):
        pytest.skip("each kind fails in one of the two ways; in both with --faults")
    files = {month: publish(published, "green", month, trips("green", month)) for month in MONTHS}
    rng = np.random.default_rng([sorted(FAULTS).index(kind), for_good])
    tried = range(requests) if at_length else [int(rng.integers(requests))]
    lost = silent = 0
    worst = 0.0
    for request in tried:
        settings = make_settings(lake_url=s3.new_lake(), work_dir=published / f"work-{request}")
        proxy.fail_from(request, FAULTS[kind], None if for_good else 1)
        with patient_for(0.5 if kind == "hanging" else 30):
            is_told = fails(settings)
        proxy.heal()
        silent += not is_told and not is_whole(settings, files)
        began = time.monotonic()
        land(settings)
        worst = max(worst, time.monotonic() - began)
        lost += not is_whole(settings, files)
    tally(f"store: {kind}", times=len(tried), lost=lost, silent=silent, seconds=worst)
