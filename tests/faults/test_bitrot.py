"""Single bits that flip: in objects of the lake, records of its catalog, and the warehouse's file.

What changes data is found by ``verify``, refused when it is read, or both; and what the
documentation says to do mends it.
"""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingestion.addresses import local_path
from ingestion.errors import MedallionError
from ingestion.lake.catalog import Catalog, FileVersion, key_of
from ingestion.lake.verify import orphans, restore, verify
from ingestion.land import land
from ingestion.load import load
from ingestion.settings import Settings
from ingestion.warehouse import connect
from ingestion.warehouse.compare import compare
from orchestration.job import pipeline as stages
from orchestration.job.audit import audit
from orchestration.job.pipeline import ledger_errors
from orchestration.job.status import status
from tests.conftest import settings_in
from tests.faults.conftest import Tally
from tests.faults.jobs import Job, publish_before
from tests.faults.kills import compared
from tests.faults.kills import job as run_job

pytestmark = pytest.mark.slow

OBJECTS, RECORDS, BLOCKS = 300, 600, 400  # bits, at length
A_FEW = 20
HEADERS_BYTES = 3 * 4096  # at the beginning of a DuckDB file
SAME_TIME = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """DuckDB over a folder, with one night behind it; all that it knows is still published."""
    folder = tmp_path_factory.mktemp("bitrot")
    publish_before(folder / "published")
    settings = settings_in(folder / "job", tlc_url=(folder / "published").as_uri())
    made = Job(settings)
    run_job(settings, {})
    made.keep_aside()
    return made


@pytest.fixture
def job(kept: Job) -> Job:
    kept.put_back()
    return kept


def flipped(content: bytes, seed: random.Random) -> bytes:
    """The same with one bit of it the other way round."""
    place, bit = seed.randrange(len(content)), seed.randrange(8)
    return content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :]


def outcome_of(work: Callable[[], object]) -> tuple[object, MedallionError | None]:
    """What it gives, or the fault in one line that it ends with."""
    try:
        return work(), None
    except MedallionError as exc:
        return None, exc


def lake_files(settings: Settings, folder: str) -> list[Path]:
    lake = local_path(settings.lake_url)
    assert lake is not None
    return sorted(path for path in (lake / folder).rglob("*") if path.is_file())


def test_bits_of_objects(job: Job, at_length: bool, tally: Tally) -> None:
    settings, seed = job.settings, random.Random(1)
    paths = lake_files(settings, "raw")
    times, silent, wrong, seconds = OBJECTS if at_length else A_FEW, 0, 0, 0.0
    for n in range(times):
        path = paths[n % len(paths)]
        whole = path.read_bytes()
        path.write_bytes(flipped(whole, seed))
        begun = time.monotonic()
        found = verify(settings)
        faulty = [v.landing.lake_path for v in found if v.error]
        silent += faulty != [str(path.relative_to(path.parents[2]))]
        restore(settings, found)  # as it says
        seconds = max(seconds, time.monotonic() - begun)
        wrong += path.read_bytes() != whole
        path.write_bytes(whole)
    fault = "bit flipped in an object of the lake"
    tally(fault, times=times, silent=silent, wrong=wrong, seconds=seconds)


def said(settings: Settings) -> list[FileVersion]:
    """All that the catalog says but for when it was landed, which landing again changes."""
    landings = [replace(x, landed_at=SAME_TIME) for x in Catalog(settings.lake_url).landings]
    return sorted(landings, key=lambda landing: landing.lake_path)


def test_bits_of_records(job: Job, at_length: bool, tally: Tally) -> None:
    settings, seed = job.settings, random.Random(2)
    paths = lake_files(settings, "catalog")
    before, landings = said(settings), Catalog(settings.lake_url).landings
    times, silent, wrong, seconds = RECORDS if at_length else 3 * A_FEW, 0, 0, 0.0
    refused = 0
    for n in range(times):
        path = paths[n % len(paths)]
        whole = path.read_bytes()
        path.write_bytes(flipped(whole, seed))
        name = path.relative_to(path.parents[3]).as_posix()
        begun = time.monotonic()
        told = name in [orphan.path for orphan in orphans(settings)]
        read, fault = outcome_of(lambda: Catalog(settings.lake_url).landings)
        if fault:
            refused += 1
            assert told
            assert name in str(fault)
        silent += not (told or read == landings)
        if told and n < 3 * A_FEW // 4:  # as it says
            path.unlink()
            key = key_of(name)
            assert key is not None
            land(settings, [key[0]], key[1], key[1])
            seconds = max(seconds, time.monotonic() - begun)
            wrong += said(settings) != before
            assert orphans(settings) == []
            for again in set(lake_files(settings, "catalog")) - set(paths):
                again.unlink()
        path.write_bytes(whole)
    assert refused
    fault = "bit flipped in a record of the catalog"
    tally(fault, times=times, silent=silent, wrong=wrong, seconds=seconds)


def all_rows(settings: Settings) -> dict[str, Counter[Any]]:
    """Every row of every table in the warehouse."""
    with connect(settings, read_only=True) as session:
        tables = session.query(
            "select table_schema, table_name from information_schema.tables"
            " where table_type = 'BASE TABLE'"
        ).rows
        return {
            f"{schema}.{name}": Counter(map(repr, session.query(f'from {schema}."{name}"').rows))
            for schema, name in tables
        }


def test_bits_of_the_duckdb_file(job: Job, at_length: bool, tally: Tally) -> None:
    settings, seed = job.settings, random.Random(3)
    path = settings.duckdb_path
    whole, before, marts = path.read_bytes(), all_rows(settings), job.marts()
    times, silent, refused = BLOCKS if at_length else A_FEW, 0, 0
    for n in range(times):
        # the headers are few bytes of many
        size = HEADERS_BYTES if n % 4 == 0 else len(whole)
        path.write_bytes(flipped(whole[:size], seed) + whole[size:])
        read, fault = outcome_of(lambda: all_rows(settings))
        if fault:
            refused += 1
            assert not fault.may_pass  # nobody waits for it
            assert "delete it, and medallion run makes it anew" in str(fault)
        silent += not (fault or read == before)
    assert refused
    path.unlink()  # as it says
    begun = time.monotonic()
    run_job(settings, {})
    seconds = time.monotonic() - begun
    counts = compared(marts, job.marts())
    tally("bit flipped in the DuckDB file", times=times, silent=silent, **counts, seconds=seconds)


@pytest.mark.parametrize("dataset", ["green", "taxi_zone_lookup"])
def test_rows_of_a_raw_table(dataset: str, job: Job, tally: Tally) -> None:
    settings = job.settings
    assert ledger_errors(audit(settings, recount=True)) == []
    before = all_rows(settings)
    with connect(settings) as session:
        named = session.query(
            "select table_name, row_count from raw.files where dataset = ? order by 1", [dataset]
        )
        table, rows = named.rows[0]
        whole = session.query(f"select * from raw.{table}").rows
        ways = {
            "lost": f"delete from raw.{table} where rowid = 0",
            "doubled": f"insert into raw.{table} select * from raw.{table} limit 1",
        }
    silent = wrong = 0
    begun = time.monotonic()
    for way, statement in ways.items():
        with connect(settings) as session:
            session.execute(statement)
        told = ledger_errors(audit(settings, recount=True))
        found = rows + (1 if way == "doubled" else -1)
        silent += not any(
            line.startswith(f"raw.{table} holds {found} rows, and {rows} were loaded")
            for line in told
        )
        with connect(settings) as session:
            session.execute(f"drop table raw.{table}")  # as it says
        load(settings)
        assert ledger_errors(audit(settings, recount=True)) == []
        with connect(settings, read_only=True) as session:
            wrong += session.query(f"select * from raw.{table}").rows != whole
    after = all_rows(settings)
    wrong += sum(before[t] != after[t] for t in before if t.startswith(("raw.green", "marts.")))
    seconds = time.monotonic() - begun
    fault = "rows of a raw table changed"
    tally(fault, times=len(ways), silent=silent, wrong=wrong, seconds=seconds)


def test_values_of_a_raw_table(job: Job, tally: Tally) -> None:
    settings = job.settings
    with connect(settings) as session:
        named = session.query("select table_name from raw.files where is_current order by 1").rows
        raw_tables = [f"raw.{name}" for (name,) in named]
        before = {table: session.query(f"select * from {table}").rows for table in raw_tables}
    silent = wrong = 0
    begun = time.monotonic()
    for table in raw_tables:
        with connect(settings) as session:
            column = session.query(f"select * from {table} limit 0").columns[0]
            session.execute(f'update {table} set "{column}" = null where rowid = 0')
        silent += [c.table for c in compare(settings) if c.error] != [table]
        with connect(settings) as session:
            session.execute(f"drop table {table}")  # as it says
        load(settings)
        with connect(settings, read_only=True) as session:
            wrong += session.query(f"select * from {table}").rows != before[table]
    assert [c for c in compare(settings) if c.error] == []
    seconds = time.monotonic() - begun
    fault = "values of a raw table changed"
    tally(fault, times=len(raw_tables), silent=silent, wrong=wrong, seconds=seconds)


def test_a_lake_that_is_not_there(job: Job, tmp_path: Path, tally: Tally) -> None:
    marts, silent = job.marts(), 0
    begun = time.monotonic()
    for is_mounted in (False, True):
        url = (tmp_path / f"lake-{is_mounted}").as_uri()
        other = job.settings.model_copy(update={"lake_url": url})
        if is_mounted:
            land(other, ["yellow"])
        _, fault = outcome_of(lambda settings=other: stages.run(settings))  # type: ignore[misc]
        lines = [str(fault), "".join(ledger_errors(audit(other))), str(status(other).unknown)]
        unknown = "shows fhv 2023-01, green 2023-01 to 2023-02"
        silent += sum(unknown not in line or url not in line for line in lines)
    stages.run(job.settings)
    counts = compared(marts, job.marts())
    seconds = time.monotonic() - begun
    tally("another lake, or none", times=2, silent=silent, **counts, seconds=seconds)
