"""The nightly flow on a real Prefect server, run by workers in other folders and homes."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import pytest

from tests.e2e.conftest import Place
from tests.support import orchestrator, postgres
from tests.support.orchestrator import Server, Worker
from tests.support.trips import ZONES, publish, trips

MONTHS = [date(2024, m, 1) for m in (1, 2, 3)]


@dataclass
class Team:
    """A server, a worker that is started elsewhere, and a place on PostgreSQL."""

    server: Server
    worker: Worker
    place: Place

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
    run = team.server.ended(team.server.run())
    assert run["state_name"] == "Completed", (run["state"], team.server.logs(run["id"]))
    assert team.is_balanced()
    assert run["name"] == f"nightly {date.today()}: 4 new, 0 re-published"
    assert {"green", "taxi_zone_lookup"} <= set(run["tags"])
    assert {"summary", "ledger", "reconciliation", "docs"} <= set(team.server.artifacts(run["id"]))
    names = {r["name"].split()[0]: r["id"] for r in team.server.runs_of(run["id"])}
    assert set(names) >= {"ingest"}
    tasks = {t["name"]: t["state_name"] for t in team.server.tasks(names["ingest"])}
    assert {"land green 2024-01", "load green 2024-01"} <= set(tasks)
