"""A publication on a full disk, or in a store that fails: readers keep the one before."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from ingestion.errors import MedallionError
from ingestion.publications.verify import verify
from tests.conftest import MakeSettings, settings_in
from tests.faults.conftest import Tally
from tests.faults.test_machine import full_disk
from tests.faults.test_stores_from_outside import FAULTS, patient_for
from tests.support.fault_proxy import FaultProxy, Refuse, in_front_of_s3
from tests.support.gold import AFTER, BEFORE, Gold
from tests.support.stores import S3, Store, fresh_environment

pytestmark = pytest.mark.slow

# more than what a full disk has left
LARGE = AFTER | {date(2024, 4, 1): list(range(500))}


def fails(gold: Gold) -> bool:
    """Whether a publication says, in one line, that it went wrong."""
    try:
        gold.publish_again(LARGE)
    except MedallionError as exc:
        return "\n" not in str(exc)
    return False


def counted(gold: Gold) -> dict[str, int]:
    """What readers see now that all is well again, beside what was built."""
    gold.publish_again(LARGE)
    seen = gold.shown()
    return {
        "lost": sum(len(fares) - len(seen.get(month, [])) for month, fares in LARGE.items()),
        "wrong": int(seen != LARGE) + sum(f.error is not None for f in verify(gold.settings)),
    }


def test_a_disk_that_is_full(make_settings: MakeSettings, tmp_path: Path, tally: Tally) -> None:
    gold = Gold(make_settings(publish_url=str(tmp_path / "gold")))
    gold.publish(BEFORE)
    gold.build(LARGE)
    with full_disk(gold.folder):
        with pytest.raises(MedallionError) as fault:
            gold.publish_again(LARGE)
        kept = gold.shown() == BEFORE
    line = str(fault.value)
    # it names the file that is to be written, not the one that is copied
    told = "\n" not in line and f": '{gold.folder}/" in line and "Free some space" in line
    tally("publication on a full disk", silent=int(not told or not kept), **counted(gold))


@pytest.fixture
def proxy(s3: S3) -> Iterator[FaultProxy]:
    """The network between us and S3."""
    with in_front_of_s3(s3) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def requests(
    store_servers: Callable[[str], Store], tmp_path_factory: pytest.TempPathFactory
) -> int:
    """How many requests an undisturbed second publication has."""
    folder = tmp_path_factory.mktemp("undisturbed")
    s3 = store_servers("s3")
    assert isinstance(s3, S3)
    with fresh_environment(s3.environment), in_front_of_s3(s3) as proxy:
        gold = Gold(settings_in(folder, publish_url=s3.new_lake()))
        gold.publish(BEFORE)
        gold.build(LARGE)
        before = len(proxy.asked)
        gold.publish_again(LARGE)
        return len(proxy.asked) - before


@pytest.mark.parametrize("kind", ["503", "cut", "hanging"])
def test_a_store_that_fails(
    kind: str,
    s3: S3,
    proxy: FaultProxy,
    requests: int,
    make_settings: MakeSettings,
    at_length: bool,
    tally: Tally,
) -> None:
    """It fails from the n-th request on; then it is well again."""
    chosen = random.Random(kind)
    tried = range(requests) if at_length else [chosen.randrange(requests)]
    counts = Counter[str]()
    for n in tried:
        gold = Gold(make_settings(publish_url=s3.new_lake()))
        gold.publish(BEFORE)
        gold.build(LARGE)
        proxy.fail_from(n, FAULTS[kind])
        with patient_for(0.5 if kind == "hanging" else 30):
            told = fails(gold)
        proxy.heal()
        whole = gold.shown() in (BEFORE, LARGE)
        counts.update(silent=int(not told or not whole), **counted(gold))
    tally(f"S3 fails in a publication ({kind})", times=len(tried), **counts)


def test_a_store_that_knows_no_condition(
    s3: S3, proxy: FaultProxy, make_settings: MakeSettings
) -> None:
    url = s3.new_lake()
    gold = Gold(make_settings(publish_url=url))
    gold.publish(BEFORE)
    manifest = f"{url.removeprefix('s3:/')}/manifest.json"
    proxy.fail("PUT", manifest, Refuse(501, "NotImplemented"), times=1)
    gold.publish(AFTER)
    assert gold.shown() == AFTER
    assert sum(asked.startswith(f"PUT {manifest}") for asked in proxy.asked) == 3
