"""Months follow when their files are read in another way, and an upgrade alone builds nothing."""

import shutil
from pathlib import Path

import duckdb
import pytest

from ingestion.settings import PROJECT_ROOT
from tests.e2e.conftest import FACTS, FERRY_RIDES, HARBOUR, Place, publish_harbour

pytestmark = pytest.mark.slow

BUILT = (
    "select table_name, service, built_at from intermediate.month_builds"
    " where source_month is not null"
)
MILES = (
    "select service, count(trip_miles), coalesce(sum(trip_miles), 0)"
    f" from {FACTS} group by 1 order by 1"
)


@pytest.fixture
def other_release(tmp_path: Path) -> Path:
    """This release, but that it reads distances one mile too long, and zones in capital letters."""
    folder = tmp_path / "release"
    for part in ("ingestion", "orchestration", "dbt_project"):
        unneeded = shutil.ignore_patterns("target", "logs", "__pycache__")
        shutil.copytree(PROJECT_ROOT / part, folder / part, ignore=unneeded)
    for file in ("pyproject.toml", "README.md"):
        shutil.copy2(PROJECT_ROOT / file, folder)
    module = folder / "ingestion" / "schema_on_read.py"
    text, asked = module.read_text(), "    value = dialect.quote(name)\n"
    assert asked in text
    longer = "    if name.lower() == 'trip_distance':\n        value = f'({value} + 1)'\n"
    capital = "    if name.lower() == 'zone':\n        value = f'upper({value})'\n"
    module.write_text(text.replace(asked, asked + longer + capital))
    return folder


def built_services(place: Place, before: set[tuple[object, ...]]) -> set[str]:
    """The services of which a month was built in any table since then."""
    return {str(service) for _, service, _ in set(place.query(BUILT)) - before}


def test_an_upgrade_builds_nothing_and_a_release_that_reads_otherwise_what_it_reads(
    copy: Place, other_release: Path
) -> None:
    # as an earlier release left it, which did not record how it read
    with duckdb.connect(copy.warehouse) as connection:
        connection.execute("update raw.files set read_as_at_upgrade = read_as")
    copy.dbt("run")
    before, miles, marts = set(copy.query(BUILT)), copy.query(MILES), copy.fingerprint()
    with duckdb.connect(copy.warehouse) as connection:
        for column in ("read_as", "read_as_at_upgrade"):
            connection.execute(f"alter table raw.files drop column {column}")
    copy.medallion("transform", expect=1)
    assert "medallion load" in copy.last_stderr
    assert "lacks raw.files.read_as" in copy.dbt("run", expect=2)
    copy.medallion("run", "--quiet")
    copy.dbt("run")
    assert built_services(copy, before) == set()
    assert "read in another way" not in copy.medallion("status")

    copy.run("orchestration.cli", "run", "--quiet", cwd=other_release)
    assert built_services(copy, before) == {"green", "yellow"}
    longer = [
        (service, count, pytest.approx(total + count * (service in ("green", "yellow"))))
        for service, count, total in miles
    ]
    assert copy.query(MILES) == longer
    # a table that is compared as a whole follows too
    capital = "select bool_and(zone = upper(zone)) from marts.dim_zones"
    assert copy.query(capital) == [(True,)]
    copy.medallion("run", "--quiet")
    assert copy.query(MILES) == miles
    assert copy.fingerprint() == marts
    assert copy.query(capital) == [(False,)]
    assert copy.medallion_json("run", "--quiet")["built"] is False


def test_months_of_a_source_follow_its_declaration(copy: Place, tmp_path: Path) -> None:
    publish_harbour(copy, tmp_path)
    declared = tmp_path / "sources" / "harbour" / "source.toml"
    copy.medallion("run", "--quiet", "--dataset", FERRY_RIDES)
    before, facts = set(copy.query(BUILT)), copy.fingerprint()

    declared.write_text(f'{HARBOUR}pier = "text"\n')  # no file has it
    copy.medallion("load", "--quiet")
    assert copy.medallion_json("transform")["built"] is False

    def pending() -> tuple[list[str], bool, bool]:
        files = copy.medallion_json("status")["files"]
        told = [copy.medallion(*command) for command in (("status",), ("audit", "--no-recount"))]
        line = "read in another way since"
        return [f["dataset"] for f in files if f["reread"]], *(line in text for text in told)

    assert pending() == ([], False, False)
    declared.write_text(HARBOUR.replace('"timestamp"', '"text"'))
    copy.medallion("load", "--quiet")
    assert pending() == ([FERRY_RIDES] * 2, True, True)
    assert copy.medallion_json("transform")["built"] is True
    assert pending() == ([], False, False)
    assert built_services(copy, before) == {FERRY_RIDES}
    assert copy.fingerprint() == facts
    assert copy.medallion_json("transform")["built"] is False
