"""The nightly flow on a real Prefect server, run by workers in other folders and homes."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import requests
from prefect.server.schemas.schedules import CronSchedule

from tests.e2e.conftest import Place
from tests.support import orchestrator, postgres
from tests.support.orchestrator import Server, Worker, wait_for
from tests.support.processes import PATIENCE_SECONDS, wait_until
from tests.support.trips import ZONES, publish, trips

pytestmark = pytest.mark.slow

MONTHS = [date(2024, m, 1) for m in (1, 2, 3)]


@dataclass
class Team:
    """A server, a worker that is started elsewhere, and a place on PostgreSQL."""

    server: Server
    worker: Worker
    place: Place

    months: Iterator[date] = field(default_factory=lambda: (date(2022, m, 1) for m in range(1, 13)))

    def a_new_month(self) -> date:
        """One that was not published yet."""
        return next(self.months)

    def second_worker(self) -> Worker:
        """Another worker of the pool, in yet another folder."""
        folder = self.worker.folder.parent / "yonder"
        folder.mkdir(exist_ok=True)
        return Worker(self.server, folder, self.worker.env, "two")

    def is_blocked(self) -> bool:
        """Whether some statement waits for a lock that a test holds."""
        return self.query(
            "select count(*) > 0 from pg_stat_activity where datname = current_database()"
            " and wait_event_type = 'Lock'"
        ) == [(True,)]

    def execute(self, sql: str) -> None:
        connection = postgres.connect(self.place.env)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
        finally:
            connection.close()

    def query(self, sql: str) -> list[tuple[object, ...]]:
        connection = postgres.connect(self.place.env)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall()
        finally:
            connection.close()

    def is_balanced(self) -> bool:
        """Whether every published row is in the facts, once."""
        return self.query("select bool_and(is_balanced), count(*) from marts.ledger") == [
            (True, len(list((self.place.published / "trip-data").glob("*.parquet"))))
        ]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    place = Place(tmp_path_factory.mktemp("place"))
    for month in MONTHS:
        publish(place.published, "green", month, trips("green", month))
    publish(place.published, "taxi_zone_lookup", None, ZONES)
    folder = tmp_path_factory.mktemp("team")
    with (
        postgres.server(folder / "warehouse") as server,
        postgres.database(server) as variables,
        orchestrator.serving(folder / "prefect") as prefect,
    ):
        place.env |= variables | {"MEDALLION_TARGET": "postgres"}
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        own = {
            name: value
            for name, value in place.environment().items()
            if name.startswith(("MEDALLION_", "PG"))
        }
        worker = Worker(prefect, elsewhere, own, "one")
        worker.start()
        try:
            yield Team(prefect, worker, place)
        finally:
            worker.stop()


def test_a_worker_elsewhere_does_the_whole_night(team: Team) -> None:
    team.worker.stop()
    team.worker.start(anew=True)
    try:
        run = team.server.ended(team.server.run())
    finally:
        team.worker.stop()
        team.worker.start()
    assert run["state_name"] == "Completed", (run["state"], team.server.logs(run["id"]))
    assert team.is_balanced()
    assert run["name"] == f"nightly {date.today()}: 4 new, 0 re-published"
    assert {"green", "taxi_zone_lookup"} <= set(run["tags"])
    assert {"summary", "ledger", "reconciliation"} <= set(team.server.artifacts(run["id"]))
    names = {r["name"].split()[0]: r["id"] for r in team.server.runs_of(run["id"])}
    assert set(names) >= {"ingest"}
    tasks = {t["name"]: t["state_name"] for t in team.server.tasks(names["ingest"])}
    assert {"land green 2024-01", "load green 2024-01"} <= set(tasks)


def test_a_night_without_news_is_seen_as_cached_and_is_quick(team: Team) -> None:
    run = team.server.ended(team.server.run())
    assert run["name"].endswith("0 new, 0 re-published")
    (ingest,) = (r["id"] for r in team.server.runs_of(run["id"]) if r["name"].startswith("ingest"))
    states = {t["name"]: t["state_name"] for t in team.server.tasks(ingest)}
    of_files = {name: state for name, state in states.items() if name.startswith(("land", "load"))}
    assert len(of_files) == 8
    assert set(of_files.values()) == {"Cached"}
    print(f"from trigger to completed: {team.server.seconds(run):.1f} s")


def test_a_republication_is_never_a_cache_hit_there_and_back(team: Team) -> None:
    one, other = (trips("green", MONTHS[0], seed=seed) for seed in (0, 1))
    for content in (other, one):
        publish(team.place.published, "green", MONTHS[0], content)
        run = team.server.ended(team.server.run())
        assert run["name"].endswith("0 new, 1 re-published"), team.server.logs(run["id"])
        ((value,),) = team.query(
            "select sum(total_usd)::text from marts.fct_trips where source_month = '2024-01-01'"
        )
        assert float(str(value)) == pytest.approx(sum(content["total_amount"].to_pylist()))
        assert team.is_balanced()


def test_what_was_lost_of_the_warehouse_is_loaded_again_whatever_was_cached(team: Team) -> None:
    """The raw table of one month, and the load record of another."""
    files = "select table_name, row_count from raw.files where is_current and dataset = 'green'"
    loaded = team.query(f"{files} order by month")
    _, (dropped, _), (forgotten, _) = loaded
    team.execute(f"drop table raw.{dropped} cascade")
    team.execute(f"delete from raw.files where table_name = '{forgotten}'")
    run = team.server.ended(team.server.run())
    assert run["state_name"] == "Completed"
    assert team.query(f"{files} order by month") == loaded
    for table, rows in loaded:
        assert team.query(f"select count(*) from raw.{table}") == [(rows,)]
    assert team.is_balanced()


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"start": "2024-13"}, "start"),
        ({"datasets": ["purple"]}, "purple"),
        ({"months_at_once": 1000}, "months_at_once"),
    ],
)
def test_a_parameter_out_of_range_is_refused_when_the_run_is_asked_for(
    team: Team, parameters: dict[str, object], reason: str
) -> None:
    deployment = team.server.get("/deployments/name/nightly/nightly")
    answer = requests.post(
        f"{team.server.api}/deployments/{deployment['id']}/create_flow_run",
        json={"parameters": parameters},
        timeout=30,
    )
    assert answer.status_code in (409, 422)
    assert reason in answer.text


def test_it_is_scheduled_at_six_in_new_york_across_both_clock_changes(team: Team) -> None:
    deployment = team.server.get("/deployments/name/nightly/nightly")
    (schedule,) = (s["schedule"] for s in deployment["schedules"])
    new_york = ZoneInfo("America/New_York")
    cron = CronSchedule(**schedule)
    for day in (datetime(2027, 3, 12, tzinfo=new_york), datetime(2027, 11, 5, tzinfo=new_york)):
        dates = asyncio.run(cron.get_dates(5, start=day))
        assert {d.astimezone(new_york).hour for d in dates} == {6}
        assert len({d.astimezone(UTC).hour for d in dates}) == 2
    scheduled = {
        "deployment_id": {"any_": [deployment["id"]]},
        "state": {"type": {"any_": ["SCHEDULED"]}},
    }
    team.server.set_schedules(active=True)
    try:
        wait_for(lambda: team.server.post("/flow_runs/filter", flow_runs=scheduled))
        coming = team.server.post("/flow_runs/filter", flow_runs=scheduled)
    finally:
        team.server.set_schedules(active=False)
    assert {
        datetime.fromisoformat(r["expected_start_time"]).astimezone(new_york).hour for r in coming
    } == {6}


def test_nights_missed_while_no_worker_was_there_are_caught_up_each_thing_once(team: Team) -> None:
    team.worker.stop()
    publish(team.place.published, "green", month := team.a_new_month(), trips("green", month))
    now = datetime.now(UTC)
    missed = [team.server.run_missed(now - timedelta(days=days)) for days in (2, 1)]
    wait_for(lambda: all(team.server.state(run) == "Late" for run in missed))
    team.worker.start()
    nights = [team.server.ended(run) for run in missed]
    assert {night["state_name"] for night in nights} == {"Completed"}
    assert sorted(night["name"].split(": ")[1] for night in nights) == [
        "0 new, 0 re-published",
        "1 new, 0 re-published",
    ]
    assert team.is_balanced()


def test_months_are_shared_by_workers_and_none_is_loaded_twice(team: Team) -> None:
    months = [date(2023, m, 1) for m in range(9, 13)]
    for month in months:
        publish(team.place.published, "green", month, trips("green", month))
    team.execute(
        "create table if not exists raw.loads (table_name text);"
        " create or replace function raw.note() returns trigger language plpgsql as $$ begin"
        " insert into raw.loads values (new.table_name); return new; end $$;"
        " create trigger note after insert on raw.files for each row execute function raw.note()"
    )
    second = team.second_worker()
    second.start()
    try:
        run = team.server.ended(team.server.run(start="2023-09", end="2023-12", months_at_once=4))
    finally:
        second.stop()
        team.execute("drop trigger note on raw.files")
    assert run["state_name"] == "Completed", (run["state"], team.server.logs(run["id"]))
    loads = team.query("select count(*), count(distinct table_name) from raw.loads")
    assert loads == [(4, 4)]
    # of what other processes did, too
    summary = team.server.artifacts(run["id"])["summary"]["data"]
    assert "new: green 2023-09, green 2023-10, green 2023-11, green 2023-12" in summary
    rows = team.query("select sum(row_count) from raw.files where table_name like 'green_%_2023_%'")
    assert f"loaded: {rows[0][0]:,} rows" in summary
    assert team.is_balanced()
    assert "submitting flow run" in second.log() or "Completed submission" in second.log()


def test_it_queues_behind_a_run_started_by_hand(team: Team) -> None:
    with blocked(team, "raw.files") as release:
        by_hand = team.place.start("orchestration.cli", "run", "--quiet")
        wait_for(team.is_blocked)
        run = team.server.run()
        wait_for(lambda: "waiting: Another run" in team.server.logs(run))
        release()
        assert by_hand.wait(PATIENCE_SECONDS) == 0
    assert team.server.ended(run)["state_name"] == "Completed"
    assert team.is_balanced()


def test_a_flow_that_is_killed_leaves_nothing_that_goes_on_and_the_next_run_does_it(
    team: Team,
) -> None:
    """In the middle of a load, and in the middle of dbt's build."""
    for table in ("raw.files", "marts.fct_trips"):
        with blocked(team, table) as release:
            run = team.server.run()
            wait_for(team.is_blocked)
            (process,) = orchestrator.flow_processes(run)
            os.kill(process, signal.SIGKILL)
            assert team.server.ended(run)["state_name"] == "Crashed"
            release()
    again = team.server.ended(team.server.run())
    assert again["state_name"] == "Completed", (again["state"], team.server.logs(again["id"]))
    assert team.is_balanced()


def test_a_server_that_is_stopped_and_started_disturbs_no_run(team: Team) -> None:
    with blocked(team, "raw.files") as release:
        run = team.server.run()
        wait_for(team.is_blocked)
        team.server.stop()
        team.server.start()
        release()
    assert team.server.ended(run)["state_name"] == "Completed"
    assert team.is_balanced()


def test_a_warehouse_that_is_away_for_a_while_is_waited_for(team: Team) -> None:
    if "MEDALLION_TEST_PG" in os.environ:
        pytest.skip("MEDALLION_TEST_PG names a server that is not ours to stop")
    with blocked(team, "raw.files"):
        run = team.server.run()
        wait_for(team.is_blocked)
        start = postgres.stop(Path(team.place.env["PGHOST"]))

        def waits() -> bool:
            tasks = [t for r in team.server.runs_of(run) for t in team.server.tasks(r["id"])]
            return any(t["state_name"] == "AwaitingRetry" for t in tasks)

        try:
            wait_for(waits)
        finally:
            start()
    ended = team.server.ended(run)
    assert ended["state_name"] == "Completed", (ended["state"], team.server.logs(run))
    assert team.is_balanced()


def test_a_cancelled_run_leaves_no_process_and_the_next_is_fine(team: Team) -> None:
    with blocked(team, "raw.files") as release:
        run = team.server.run()
        wait_for(team.is_blocked)
        team.server.post(
            f"/flow_runs/{run}/set_state", state={"type": "CANCELLING", "name": "Cancelling"}
        )
        release()
        ended = team.server.ended(run)["state"]
        # where the process does not answer the runner in a second, Prefect only sends its signal
        by_signal = "aborted by a termination signal" in (ended["message"] or "")
        assert ended["name"] == ("Crashed" if by_signal else "Cancelled"), ended
        wait_until(lambda: not orchestrator.flow_processes(run))
    assert team.server.ended(team.server.run())["state_name"] == "Completed"
    assert team.is_balanced()


@contextmanager
def blocked(team: Team, table: str) -> Iterator[Callable[[], None]]:
    """A month that is new, and that cannot be written to a table until it is let go."""
    month = team.a_new_month()
    publish(team.place.published, "green", month, trips("green", month))
    connection = postgres.connect(team.place.env)
    connection.autocommit = False
    with connection.cursor() as cursor:
        cursor.execute(f"lock table {table} in share mode")
    try:
        yield connection.rollback
    finally:
        connection.close()
