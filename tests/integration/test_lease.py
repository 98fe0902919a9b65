"""The lock of a warehouse that several machines write: in a folder, and in buckets."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from ingestion.lake.lease import lease_holder, leased
from ingestion.lake.storage.store import Store as Lake
from ingestion.locks import HeldError
from tests.support.fault_proxy import Refuse, in_front_of_s3
from tests.support.processes import wait_until
from tests.support.stores import S3, Store

NAME = "spark/run.lock"
BEAT, DEAD = 0.2, 2.0
HOLD = """
import sys, time
from ingestion.lake.lease import leased
from ingestion.lake.storage.store import Store
with leased(Store(sys.argv[1]), sys.argv[2], 0.2, 2.0):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def lake(store: Store) -> Lake:
    """An empty lake in each kind of store."""
    return Lake(store.new_lake())


@pytest.fixture
def holder(lake: Lake) -> Iterator["subprocess.Popen[str]"]:
    """Another process, which holds the lock."""
    command = [sys.executable, "-c", HOLD, lake.url, NAME]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_lock_is_free_again_when_its_block_ends(lake: Lake) -> None:
    assert lease_holder(lake, NAME) is None
    for _ in range(2):
        with leased(lake, NAME, BEAT, DEAD):
            assert f"pid {os.getpid()} on " in (lease_holder(lake, NAME) or "")
        assert lease_holder(lake, NAME) is None


def test_a_second_process_is_refused_for_as_long_as_the_first_lives(
    lake: Lake, holder: "subprocess.Popen[str]"
) -> None:
    for _ in range(2):
        with (
            pytest.raises(HeldError, match=f"pid {holder.pid} on "),
            leased(lake, NAME, BEAT, DEAD),
        ):
            pass


def test_the_lock_of_a_killed_process_is_taken_over(
    lake: Lake, holder: "subprocess.Popen[str]"
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with leased(lake, NAME, BEAT, DEAD):
        assert f"pid {os.getpid()} on " in (lease_holder(lake, NAME) or "")


def test_a_lost_answer_of_the_store_ends_no_run(s3: S3) -> None:
    """The lease was written, and its holder could not read by which tag it is known now."""
    ended = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        with in_front_of_s3(s3) as proxy:
            lake = Lake(s3.new_lake())

            def asked(method: str) -> int:
                return sum(one.startswith(method) and NAME in one for one in proxy.asked)

            with leased(lake, NAME, BEAT, dead=60):
                read = asked("GET")
                proxy.fail("GET", NAME, Refuse(503, "ServiceUnavailable"))
                wait_until(lambda: asked("GET") > read)
                written = asked("PUT")
                wait_until(lambda: asked("PUT") > written)  # the reading was given up
                proxy.heal()
                written = asked("PUT")
                wait_until(lambda: asked("PUT") > written + 3 or ended.is_set())
                assert not ended.is_set()
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_a_process_that_lost_its_lease_ends(lake: Lake) -> None:
    ended = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        with leased(lake, NAME, BEAT, DEAD):
            lake.write(NAME, b'{"holder": "another machine"}')  # it had taken us for dead
            assert ended.wait(30)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert b"another machine" in lake.read_tagged(NAME)[0]
