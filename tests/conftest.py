"""Options and fixtures of all tests. Each test has its own folders, ports and processes."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ingestion.land import LandReport, land
from ingestion.load import LoadReport, load
from ingestion.settings import PROJECT_ROOT, Settings
from tests.support import processes
from tests.support.spark import shared_cluster
from tests.support.stores import S3, STORES, Store, fresh_environment, scratch, store_server
from tests.support.web import Web, serving

AT_LENGTH = "Try every real month, and faults at length (an hour or two more)."
AT_LENGTH_SECONDS = 3 * 3600  # the most for one test: it may kill a job a hundred times
# one process waits for one server in it, so that it would end long after all others
LONGEST = "test_spark_build.py"
SLOWEST_FILES = 40


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--full`` (run the slow tests too) and ``--faults`` (try faults at length, too)."""
    parser.addoption("--full", action="store_true", help="Run the slow tests too (an hour).")
    parser.addoption("--faults", action="store_true", help=AT_LENGTH)


def is_full(config: pytest.Config) -> bool:
    """Whether the tests marked as slow run: if asked for, or if files are named."""
    if hasattr(config, "workerinput"):  # a process of pytest-xdist: it always gets file names
        return bool(config.workerinput["is_full"])
    asked = config.getoption("--full") or config.getoption("--faults")
    return bool(asked) or config.args_source is not pytest.Config.ArgsSource.TESTPATHS


def pytest_configure_node(node: Any) -> None:
    """Tell each process of pytest-xdist which lane it runs, and from where it forks commands."""
    node.workerinput["is_full"] = is_full(node.config)
    node.workerinput["forks"] = processes.shared_server()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest file, and leave the slow tests out of the fast lane."""
    items.sort(key=lambda item: item.path.name != LONGEST)
    if config.getoption("--faults"):
        for item in items:
            if "at_length" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.timeout(AT_LENGTH_SECONDS))
    if is_full(config):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in set(slow)]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the files that took longest: a process runs whole files, so these decide a lane."""
    seconds = Counter[str]()
    for report in (r for reports in terminalreporter.stats.values() for r in reports):
        if isinstance(report, pytest.TestReport):
            seconds[report.nodeid.partition("::")[0]] += report.duration
    slowest = [(file, spent) for file, spent in seconds.most_common(SLOWEST_FILES) if spent > 5]
    if slowest:
        terminalreporter.section("slowest files")
        for file, spent in slowest:
            terminalreporter.write_line(f"{spent:7.0f} s  {file}")


@pytest.fixture(scope="session")
def at_length(request: pytest.FixtureRequest) -> bool:
    """Whether faults and real months are tried at length; if not, each kind a few times."""
    return bool(request.config.getoption("--faults"))


def pytest_configure(config: pytest.Config) -> None:
    """Remove the developer's environment variables, and the pauses between two attempts."""
    if hasattr(config, "workerinput"):
        processes.use_server(config.workerinput["forks"])
    for name in list(os.environ):
        ours = name.startswith(("MEDALLION_", "PG", "PREFECT_", "DBT_"))
        if ours and not name.startswith("MEDALLION_TEST_"):
            del os.environ[name]
    os.environ["RUNTIME__REQUEST_BACKOFF_FACTOR"] = "0"
    os.environ["RUNTIME__REQUEST_MAX_ATTEMPTS"] = "3"
    # By this variable, DuckDB begins with one thread. Those that wait for work spin, which took a
    # fifth of the time of a build; what depends on the number of threads sets one of its own.
    os.environ["SLURM_CPUS_ON_NODE"] = "1"
    # what publishes has tests of its own, which set a place for it
    os.environ["MEDALLION_PUBLISH_URL"] = "off"
    os.environ["MEDALLION_SITE_DIR"] = "off"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """TLC's own files: ``trip-data/``, ``misc/``, ``republished/`` and ``bad/``."""
    default = PROJECT_ROOT.parent / "shared" / "data"
    folder = Path(os.environ.get("MEDALLION_TEST_DATA", default)).absolute()
    if not (folder / "trip-data").is_dir():
        pytest.skip(
            f"no TLC files in {folder}: set MEDALLION_TEST_DATA to a folder with trip-data/"
        )
    return folder


@pytest.fixture(scope="session")
def real_lake(
    real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Settings, LandReport]:
    """A lake with every real file, and the report of landing them. Tests must not change it."""
    settings = settings_in(tmp_path_factory.mktemp("real"), tlc_url=real_data.as_uri())
    return settings, land(settings)


@pytest.fixture(scope="session")
def real_warehouse(real_lake: tuple[Settings, LandReport]) -> tuple[Settings, LoadReport]:
    """A warehouse with all of these loaded, and the report. Tests must not change it."""
    settings, _ = real_lake
    return settings, load(settings)


MakeSettings = Callable[..., Settings]


@pytest.fixture
def make_settings(tmp_path: Path) -> MakeSettings:
    """A function that makes settings for the test's own folder, without ``.env``."""

    def make(**values: Any) -> Settings:
        return settings_in(tmp_path, **values)

    return make


def settings_in(folder: Path, **values: Any) -> Settings:
    """Settings for a folder with ``published`` files, a lake, a warehouse and a work folder."""
    defaults = {
        "tlc_url": (folder / "published").as_uri(),
        "lake_url": str(folder / "lake"),
        "duckdb_path": folder / "warehouse.duckdb",
        "work_dir": folder / "work",
    }
    return Settings(_env_file=None, **defaults | values)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The empty folder that ``make_settings()`` uses as the publisher."""
    folder = tmp_path / "published"
    folder.mkdir()
    return folder


@pytest.fixture
def web() -> Iterator[Web]:
    """A publisher on loopback that has no files yet."""
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory, at_length: bool) -> Iterator[dict[str, str]]:
    """The variables of a Spark cluster, which all processes of a test run share."""
    base = tmp_path_factory.getbasetemp()
    # each process of pytest-xdist has a folder of its own below that of the run
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "spark"
    with shared_cluster(folder, at_length) as variables:
        yield variables


@pytest.fixture(scope="session")
def store_servers() -> Iterator[Callable[[str], Store]]:
    """A function that gives the store of a kind; it starts at first use, and stops at the end."""
    running: dict[str, Store] = {}
    with ExitStack() as at_the_end:

        def server(kind: str) -> Store:
            if kind not in running:
                folder = at_the_end.enter_context(scratch())
                running[kind] = at_the_end.enter_context(store_server(kind, folder))
            return running[kind]

        yield server


@pytest.fixture(
    # a folder needs no emulator
    params=[
        kind if kind == "file" else pytest.param(kind, marks=pytest.mark.slow) for kind in STORES
    ]
)
def store(request: pytest.FixtureRequest, store_servers: Callable[[str], Store]) -> Iterator[Store]:
    """Each kind of store for a lake, in turn; the environment has its address and credentials."""
    store = store_servers(request.param)
    with fresh_environment(store.environment):
        yield store


@pytest.fixture
def s3(store_servers: Callable[[str], Store]) -> Iterator[S3]:
    """An S3 store; the environment has its address and credentials."""
    store = store_servers("s3")
    assert isinstance(store, S3)
    with fresh_environment(store.environment):
        yield store
