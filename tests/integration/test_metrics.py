"""The metrics that a run leaves: of a failed one, of a killed one, and in whose words."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import prometheus_client.openmetrics.parser as openmetrics
import prometheus_client.parser as prometheus
import pytest

from ingestion.errors import MedallionError
from ingestion.land import land
from ingestion.load import load
from ingestion.progress import Lines, Quiet
from ingestion.settings import Settings
from orchestration.job.last_run import recorded
from orchestration.job.pipeline import run
from tests.conftest import MakeSettings
from tests.support import processes
from tests.support.trips import ZONES, publish, trips

JANUARY = date(2024, 1, 1)
Metrics = dict[tuple[str, str], float]


def metrics(settings: Settings) -> Metrics:
    """Each metric's value by its name and the value of its own label, as both parsers see it.

    node_exporter takes the older format, and neither timestamps nor the types of the newer one.
    """
    text = settings.metrics_file.read_text()
    found: list[Metrics] = []
    for parser in (openmetrics, prometheus):
        families = list(parser.text_string_to_metric_families(text))
        assert {family.type for family in families} == {"gauge"}
        samples = [sample for family in families for sample in family.samples]
        assert all(sample.timestamp is None for sample in samples)
        warehouses = {sample.labels.pop("warehouse") for sample in samples}
        assert warehouses == {str(settings.duckdb_path)}
        found.append(
            {
                (s.name.removeprefix("medallion_"), " ".join(s.labels.values())): s.value
                for s in samples
            }
        )
    assert found[0] == found[1]
    return found[0]


@pytest.fixture
def settings(published: Path, make_settings: MakeSettings) -> Settings:
    """A publisher with a month, and nothing yet beside it."""
    publish(published, "green", JANUARY, trips("green", JANUARY))
    publish(published, "taxi_zone_lookup", None, ZONES)
    return make_settings(metrics_path=published.parent / "collected" / "medallion.prom")


def test_a_run_that_fails_tells_how_far_it_came_and_when_one_was_good(settings: Settings) -> None:
    good_run(settings)
    good = metrics(settings)
    assert good["run_success", ""] == 1
    assert good["last_good_run_timestamp_seconds", ""] == pytest.approx(
        good["run_end_timestamp_seconds", ""], abs=1
    )
    settings.duckdb_path.write_bytes(b"no warehouse")
    with pytest.raises(MedallionError):
        run(settings)
    failed = metrics(settings)
    assert failed["run_success", ""] == 0
    assert failed["run_errors", ""] == 1
    assert failed["last_good_run_timestamp_seconds", ""] == pytest.approx(
        good["last_good_run_timestamp_seconds", ""]
    )
    assert failed["run_end_timestamp_seconds", ""] > good["run_end_timestamp_seconds", ""]
    # it did not come to the ledger
    assert not {name for name, _ in failed} & {"ledger_files", "missing_files", "size_bytes"}
    assert [p.name for p in settings.metrics_file.parent.iterdir()] == ["medallion.prom"]


class Damaging(Quiet):
    """Somebody puts something else in the warehouse's place while the run lands its files."""

    def __init__(self, settings: Settings):
        self._path = settings.duckdb_path

    def file_done(self, _name: str, _note: str, _rows: int | None = None, /) -> None:
        self._path.write_bytes(b"no warehouse")


def test_a_run_whose_load_fails_tells_what_it_landed(settings: Settings) -> None:
    with pytest.raises(MedallionError):
        run(settings, progress=Damaging(settings))
    found = metrics(settings)
    assert found["run_success", ""] == 0
    assert found["run_published_files", "new"] == 2
    assert found["run_published_files", "quarantined"] == 0
    assert found["run_landed_bytes", ""] > 0
    assert found["run_stage_duration_seconds", "land"] > 0
    assert files_in(found) == {"green 2024-01 land", "taxi_zone_lookup land"}
    assert ("run_loaded_rows", "") not in found


def files_in(found: Metrics) -> set[str]:
    """The stages and files whose durations are told."""
    assert all(v > 0 for (name, _), v in found.items() if name == "run_file_duration_seconds")
    return {file for name, file in found if name == "run_file_duration_seconds"}


def landed_and_loaded(settings: Settings) -> None:
    """A run without dbt."""
    with recorded(settings, "run") as this:
        this.figures.add_landed(land(settings))
        this.figures.add_loaded(load(settings))


@pytest.mark.parametrize("raw", ["loaded", "in_place"])
def test_durations_are_those_of_the_files_of_this_run(settings: Settings, raw: str) -> None:
    settings = settings.model_copy(update={"raw": raw})
    landed_and_loaded(settings)
    names = {"green 2024-01", "taxi_zone_lookup"}
    both = {f"{name} {stage}" for stage in ("land", "load") for name in names}
    assert files_in(metrics(settings)) == both
    landed_and_loaded(settings)
    assert files_in(metrics(settings)) == set()
    # a first run of all months must not make hundreds of series
    with recorded(settings, "run") as this:
        this.figures.file_seconds = {"load": {f"file {n}": n + 1 for n in range(900)}}
    assert files_in(metrics(settings)) == {f"file {n} load" for n in range(850, 900)}


def good_run(settings: Settings) -> None:
    """A run without a stage."""
    with recorded(settings, "run"):
        pass


@pytest.mark.slow
@pytest.mark.parametrize(
    ("work", "event", "fragment"),
    [
        (run, "open", "/spool/"),
        (good_run, "open", ".prom.partial"),
        (good_run, "os.rename", ".prom.partial"),
    ],
)
def test_a_killed_run_leaves_the_metrics_of_the_run_before(
    settings: Settings, work: Callable[[Settings], object], event: str, fragment: str
) -> None:
    good_run(settings)
    before = settings.metrics_file.read_bytes()
    assert processes.killed_when(event, fragment, work, settings)
    assert settings.metrics_file.read_bytes() == before
    good_run(settings)
    assert metrics(settings)["run_success", ""] == 1


def test_a_file_that_cannot_be_written_fails_no_run(
    settings: Settings,
) -> None:
    settings.metrics_file.parent.write_text("a file where the folder should be")
    lines: list[str] = []
    with recorded(settings, "run", progress=Lines(lines.append)):
        pass
    assert lines == [f"warning: cannot write the metrics to {settings.metrics_file}: File exists"]


def test_a_run_on_a_variant_leaves_the_metrics_alone(settings: Settings) -> None:
    of_a_day = settings.as_of(datetime.now(UTC).date())
    good_run(of_a_day)
    assert not settings.metrics_file.exists()
