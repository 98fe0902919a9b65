"""Names from strangers, and secrets of ours: the first do nothing, the second are shown nowhere."""

import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from ingestion.settings import Settings
from ingestion.warehouse import connect
from tests.conftest import settings_in
from tests.faults.commands import Command, run_here, variables
from tests.faults.conftest import Tally
from tests.faults.kills import PATIENCE_SECONDS
from tests.support import postgres
from tests.support.processes import Done, fork
from tests.support.trips import publish, trips

pytestmark = pytest.mark.slow

JANUARY = date(2024, 1, 1)
ROWS = 20
REPORT = b"Month/Year,License Class,Trips Per Day\n2024-01,Green,1\n"
# as SQL, as a template of dbt's, as a path, as a pattern, as markup, as parameters
NAMES = (
    "a'; drop table raw.files; --",
    'b"; drop schema marts cascade; --',
    "{{ 1 / 0 }}",
    "{% do run_query('drop schema raw cascade') %}",
    "{# nothing",
    "../../../../etc/passwd",
    "$(touch stranger) `touch stranger`",
    "%s %(name)s %% ? :name $1",
    "[bold]red[/bold] [/b] :x:",
    "*?[a-z]",
    "back\\slash",
    "\N{RIGHT-TO-LEFT OVERRIDE}txet",
    "robert\tO'Tables",
)
SECRETS = {
    "MEDALLION_ALERT_WEBHOOK_URL": "http://127.0.0.1:9/canary-webhook-1b7e",
    "AWS_ACCESS_KEY_ID": "canary-key-92aa",
    "AWS_SECRET_ACCESS_KEY": "canary-secret-41c0",
    "AZURE_STORAGE_CONNECTION_STRING": "AccountKey=canary-azure-d00d",
    "PREFECT_API_KEY": "canary-prefect-77ab",
}
NETRC = "machine 127.0.0.1 login me password canary-netrc-5e5e\n"


@dataclass(frozen=True)
class Place:
    """A night on files whose every name is a stranger's, with secrets about."""

    settings: Settings
    environment: dict[str, str]
    home: Path

    def medallion(self, *arguments: str) -> Done:
        return Command(self.settings, self.environment, *arguments).done()


@pytest.fixture(scope="module", params=["DuckDB", "PostgreSQL"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """The names are those of columns and zones, and of the folder that all of it is in."""
    outer = tmp_path_factory.mktemp("names")
    folder = outer / "it's {{ 1 }} [x] $HOME"
    published, home = folder / "published", outer / "home"
    home.mkdir()
    (home / ".netrc").write_text(NETRC)
    table = trips("green", JANUARY, rows=ROWS)
    for number, name in enumerate(NAMES):
        table = table.append_column(name, pa.array([number] * ROWS))
    publish(published, "green", JANUARY, table)
    # with a blank on each side, which no mart has
    lines = [f'{i}," {n.replace(chr(34), 2 * chr(34))} ",Z{i},S' for i, n in enumerate(NAMES, 1)]
    zones = "\r\n".join(["LocationID,Borough,Zone,service_zone", *lines, ""])
    publish(published, "taxi_zone_lookup", None, zones.encode())
    publish(
        published,
        "tlc_monthly_report",
        None,
        b"Month/Year,License Class,Trips Per Day\n2024-01,Green,1\n",
    )
    values = {"target": "postgres"} if request.param == "PostgreSQL" else {}
    (folder / "job").mkdir()
    with ExitStack() as stack:
        environment = SECRETS | {"HOME": str(home)}
        if values:
            server = stack.enter_context(postgres.server(outer / "server"))
            environment |= stack.enter_context(postgres.database(server))
        settings = settings_in(folder / "job", tlc_url=published.as_uri(), **values)
        yield Place(settings, environment, home)


def test_names_do_nothing_and_secrets_are_shown_nowhere(place: Place, tally: Tally) -> None:
    kind = "PostgreSQL" if place.settings.target == "postgres" else "DuckDB"
    told = [
        place.medallion("run"),
        place.medallion("audit", "--json"),
        place.medallion("status"),
        place.medallion("doctor"),
        place.medallion("history", "green", "2024-01"),
        place.medallion("query", "select borough from marts.dim_zones", "--format", "json"),
        place.medallion("query", "select * from raw.nothing_of_this_name"),
    ]
    assert told[0].code == 0, told[0].stderr
    assert [done.code for done in told[1:3]] == [0, 0]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in place.environment.items():
            patch.setenv(name, value)
        with connect(place.settings, read_only=True) as session:
            ((rows,),) = session.query("select count(*) from marts.fct_trips").rows
            boroughs = {b for (b,) in session.query("select borough from marts.dim_zones").rows}
            ((table,),) = session.query(
                "select table_name from raw.files where dataset = 'green'"
            ).rows
            columns = session.query(f'select * from raw."{table}"').columns
    wrong = len(set(NAMES) - boroughs) + len(set(NAMES) - set(columns))
    tally(f"hostile names ({kind})", times=len(NAMES), lost=ROWS - rows, wrong=wrong)
    assert not list(place.settings.work_dir.parents[1].rglob("stranger*"))

    canaries = [value.rpartition("canary-")[2].encode() for value in SECRETS.values()]
    canaries.append(NETRC.rpartition("canary-")[2].strip().encode())
    written = [done.stdout.encode() + done.stderr.encode() for done in told]
    written += [
        p.read_bytes() for p in place.settings.work_dir.parents[1].rglob("*") if p.is_file()
    ]
    seen = sum(canary in text for text in written for canary in canaries)
    tally(f"canary secrets ({kind})", times=len(canaries), wrong=seen)


def test_what_is_in_work_is_for_its_owner(place: Place) -> None:
    assert stat.S_IMODE(place.settings.spool_dir.stat().st_mode) == 0o700


def test_a_parameter_is_a_value_and_no_more(place: Place, at_length: bool, tmp_path: Path) -> None:
    """The commands run one after another in one process: each ends before it does anything."""
    if place.settings.target == "postgres" and not at_length:
        pytest.skip("the same commands as on DuckDB: only with --faults")
    tried = [
        arguments
        for name in NAMES
        for arguments in (
            ("history", name, "2024-01"),
            ("history", "green", name),
            ("explain", name),
            ("land", "--dataset", name),
            ("load", "--from", name),
            ("run", "--target", name),
            ("catalog", "--out", f"/proc/{name}"),
        )
    ]
    process = fork(_commands, (variables(place.settings) | place.environment, tried, tmp_path))
    process.join(PATIENCE_SECONDS)
    assert process.exitcode == 0
    for number, arguments in enumerate(tried):
        code, err = ((tmp_path / f"{number}.{what}").read_text() for what in ("code", "err"))
        assert code in ("1", "2"), (arguments, err)
        assert err, arguments
        assert "Traceback" not in err, (arguments, err)


def _commands(environment: dict[str, str], tried: list[tuple[str, ...]], folder: Path) -> None:
    """Run these commands; write the exit code and the stderr of each to a folder."""
    for number, arguments in enumerate(tried):
        out, err, code = (folder / f"{number}.{what}" for what in ("out", "err", "code"))
        try:
            run_here(out, err, environment, arguments)
        except SystemExit as ended:
            code.write_text(str(ended.code))
        finally:
            sys.stderr.flush()
