"""Publications as users meet them: the page word for word, and readers while a run writes."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.settings import PROJECT_ROOT
from tests.e2e.conftest import Place
from tests.support import postgres
from tests.support.samples import copied_project, publish_part

pytestmark = pytest.mark.slow

TOTALS = (
    "select count(*) as trips, count(case when is_valid then total_usd end) as valid"
    " from marts.fct_trips"
)


def commands_of(heading: str) -> list[str]:
    """The commands that a section of docs/publishing.md gives, in order."""
    page = (PROJECT_ROOT / "docs" / "publishing.md").read_text()
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_any_past_night_by_the_page(place: Place) -> None:
    place.env["MEDALLION_PUBLISH_URL"] = str(place.folder / "gold")
    commands = commands_of("Any past night")
    assert len(commands) == 6
    said = []
    for line in commands:
        words = shlex.split(line)
        assert words[:3] == ["uv", "run", "medallion"]
        if "FIRST" in words:
            listed = place.medallion_json("publications", "--sample")
            words[words.index("FIRST")] = listed[0]["publication"]
        said.append(place.medallion(*words[3:]))
    *_, asked, rolled_back, listed_last = said
    trips = [int(word) for word in asked.split() if word.isdigit()]
    assert len(trips) == 1
    assert "green 2023-02" in rolled_back
    assert "restores" in listed_last
    now = place.medallion_json("publications", "--sample")
    assert [p["is_current"] for p in now] == [False, False, True]
    # the next run finds nothing new, and leaves the rollback as it is
    place.medallion("run", "--sample", "--quiet")
    assert place.medallion_json("publications", "--sample") == now
    told = f"a rollback to {now[0]['publication']} that hides {now[1]['publication']}"
    assert told in place.medallion("status", "--sample")


@pytest.fixture(params=["duckdb", "postgres"])
def published(
    request: pytest.FixtureRequest, part: Place, tmp_path: Path, tmp_path_factory: Any
) -> Any:
    """A place that has published six months of the sample, on each engine."""
    place = Place(tmp_path / "copy")
    shutil.copytree(part.folder, place.folder, copy_function=shutil.copy2)
    place.env |= {
        "MEDALLION_TLC_URL": place.published.as_uri(),
        "MEDALLION_PUBLISH_URL": str(place.folder / "gold"),
    }
    if request.param == "duckdb":
        place.medallion("publish", "--quiet")
        yield place
        return
    with (
        postgres.server(tmp_path_factory.mktemp("postgres")) as server,
        postgres.database(server) as variables,
    ):
        place.env |= variables | {"MEDALLION_TARGET": "postgres"}
        place.medallion("run", "--quiet")
        yield place


def test_readers_are_never_refused_and_see_no_half_of_a_run(published: Place) -> None:
    publish_part(published.published, republished=True)

    def asked() -> tuple[int, int]:
        (row,) = json.loads(published.medallion("query", "--format", "json", TOTALS))
        return row["trips"], row["valid"]

    before = asked()
    run = published.start("orchestration.cli", "run", "--quiet")
    seen, stages, times = set(), set(), 0
    while run.poll() is None:
        seen.add(asked())
        times += 1
        if under_way := published.medallion_json("status")["run_under_way"]:
            stages.add(under_way["stage"])
    stdout, stderr = run.communicate()
    assert run.returncode == 0, stdout + stderr
    after = asked()
    assert after != before
    assert seen <= {before, after}
    assert times > 1
    assert "transform" in stages
    published.medallion("query", "--live", TOTALS)
    (first, second) = published.medallion_json("publications")
    assert (first["is_current"], second["is_current"]) == (False, True)
    published.medallion("verify", "--quiet")


def test_what_was_not_tested_is_not_published(copy: Place) -> None:
    copy.env["MEDALLION_PUBLISH_URL"] = str(copy.folder / "gold")
    copy.medallion("publish", "--quiet")
    before = copy.medallion_json("publications")
    # a month comes anew, and dbt builds it without its tests
    publish_part(copy.published, republished=True)
    copy.medallion("land", "--quiet")
    copy.medallion("load", "--quiet")
    copy.dbt("run")
    copy.medallion("publish", "--quiet", expect=1)
    assert "was not tested" in copy.last_stderr
    assert copy.medallion_json("publications") == before
    copy.dbt("build", "--exclude-resource-type", "unit_test")
    copy.medallion("publish", "--quiet")
    assert len(copy.medallion_json("publications")) == 2


def test_a_table_that_a_killed_build_left_beside_the_real_one_holds_up_nothing(copy: Place) -> None:
    copy.env["MEDALLION_PUBLISH_URL"] = str(copy.folder / "gold")
    with duckdb.connect(copy.warehouse) as connection:
        connection.execute(
            "insert into intermediate.month_builds by name"
            " select * replace ('marts.daily_trips__rebuild' as table_name, null as tested_at)"
            " from intermediate.month_builds where table_name = 'marts.daily_trips'"
        )
    copy.medallion("publish", "--quiet")
    assert len(copy.medallion_json("publications")) == 1


def test_a_table_whose_rows_alone_have_changed_is_published(copy: Place, tmp_path: Path) -> None:
    """A dimension or a reference table, where no month was built anew."""
    copy.env["MEDALLION_PUBLISH_URL"] = str(copy.folder / "gold")
    copy.medallion("publish", "--quiet")
    project = copied_project(tmp_path)
    model = project / "dbt_project/models/marts/core/dim_trip_types.sql"
    model.write_text(f"{model.read_text().rstrip()}\nwhere trip_type_id <> 2\n")
    reasons = project / "dbt_project/seeds/invalid_reasons.csv"
    reasons.write_text(reasons.read_text().replace("There is no pickup time.", "None was sent."))
    counts = "select count(*) as types from marts.dim_trip_types"
    told = "select meaning from staging.invalid_reasons where rule = 1"
    published = copy.folder / "gold" / "medallion.duckdb"
    for nodes in ("dim_trip_types", "invalid_reasons"):
        dbt = ("build", "--select", nodes, "--project-dir", str(project / "dbt_project"))
        copy.dbt(*dbt, "--profiles-dir", str(project / "dbt_project"))
        copy.medallion("publish", "--quiet")
        for asked in (counts, told):
            with duckdb.connect(published, read_only=True) as seen:
                assert seen.execute(asked).fetchall() == copy.query(asked)
    assert len(copy.medallion_json("publications")) == 3
    manifest = copy.folder / "gold" / "manifest.json"
    before = manifest.read_bytes()
    copy.env["TZ"] = "America/New_York"  # the same points in time
    copy.medallion("publish", "--quiet")
    assert manifest.read_bytes() == before


def test_while_the_file_is_held_the_commands_say_the_same_of_the_publication(copy: Place) -> None:
    copy.env["MEDALLION_PUBLISH_URL"] = str(copy.folder / "gold")
    copy.medallion("publish", "--quiet")
    ((trip, csv_trip),) = copy.query(
        "select min(case when not is_valid then trip_id end), max(trip_id) from marts.fct_trips"
    )
    asked = [
        ("explain", str(trip), "--json"),
        ("explain", str(csv_trip), "--json"),
        ("audit", "--no-recount", "--json"),
        ("query", "--format", "json", TOTALS),
        ("history", "green", "2023-02", "--quiet", "--json"),
    ]
    free = [json.loads(copy.medallion(*command)) for command in asked]
    status = copy.medallion_json("status")
    with duckdb.connect(copy.warehouse):
        for command, expected in zip(asked, free, strict=True):
            assert json.loads(copy.medallion(*command)) == expected, command
            if command[0] != "history":
                assert "reading publication " in copy.last_stderr, command
        held = copy.medallion_json("status")
        copy.medallion("query", "--live", TOTALS, expect=1)
        copy.medallion("audit", expect=1)
        assert "is held by" in copy.last_stderr
    assert held == status


def test_a_past_publication_is_asked(copy: Place) -> None:
    copy.env["MEDALLION_PUBLISH_URL"] = str(copy.folder / "gold")
    copy.medallion("publish", "--quiet")
    (listed,) = copy.medallion_json("publications")
    asked = ("query", "--format", "json", "--publication", listed["publication"][:12], TOTALS)
    assert json.loads(copy.medallion(*asked)) == json.loads(
        copy.medallion("query", "--format", "json", "--live", TOTALS)
    )
    copy.medallion("query", "--live", "--publication", "2026-01-01", TOTALS, expect=2)
    copy.medallion("query", "--publication", "2020-01-01", TOTALS, expect=2)
    assert "The oldest publication is of" in copy.last_stderr
    # the way back to a warehouse of which nothing is published
    copy.env["MEDALLION_PUBLISH_URL"] = "off"
    for command in ("publish", "publications"):
        copy.medallion(command, expect=2)
        assert "MEDALLION_PUBLISH_URL is not set, or off" in copy.last_stderr


def test_a_mart_whose_test_failed_is_not_published_until_it_passes(copy: Place) -> None:
    copy.env["MEDALLION_PUBLISH_URL"] = str(copy.folder / "gold")
    copy.medallion("publish", "--quiet")
    before = copy.medallion_json("publications")
    with duckdb.connect(copy.warehouse) as connection:
        connection.execute("insert into marts.dim_vendors from marts.dim_vendors limit 1")
        connection.execute("create table marts.scratch as select 1 as n")
    copy.dbt("test", "--select", "dim_vendors", expect=1)
    # another run of dbt, which succeeds, says nothing of that test
    copy.dbt("run", "--select", "dim_trip_types")
    copy.medallion("publish", "--quiet", expect=1)
    assert "marts.dim_vendors was not tested, or a test of it has failed" in copy.last_stderr
    assert copy.medallion_json("publications") == before
    copy.dbt("build", "--select", "dim_vendors")
    copy.medallion("publish", "--quiet")
    # what dbt did not make is nobody's to see, and the marts are as they were
    assert copy.medallion_json("publications") == before
    copy.medallion("env", "create", "try")
    assert copy.medallion_json("promote", "try")["publication"]
