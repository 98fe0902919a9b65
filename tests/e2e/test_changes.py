"""A change of a rule is tried, compared, promoted and rolled back, by the page word for word."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.settings import PROJECT_ROOT
from tests.e2e.conftest import Place, differing
from tests.support.samples import copied_project

pytestmark = pytest.mark.slow

BLOCKS = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copied_project(tmp_path)


def test_a_change_is_tried_promoted_and_rolled_back_by_the_page(
    place: Place, project: Path
) -> None:
    place.env["MEDALLION_PUBLISH_URL"] = str(place.folder / "gold")
    main = place.folder / "warehouse.sample.duckdb"
    aside = place.folder / "aside.duckdb"
    page = (PROJECT_ROOT / "docs" / "publishing.md").read_text()
    section = page.partition("\n## Try a change\n")[2].partition("\n## ")[0]
    commands = [line for block in BLOCKS.findall(section) for line in block.splitlines()]
    said: dict[str, list[str]] = {}
    first = ""
    for command in commands:
        words = [first if word == "FIRST" else word for word in shlex.split(command)]
        if words[0] == "sed":
            assert_changes(words, project)
            continue
        assert words[:3] == ["uv", "run", "medallion"]
        verb = words[3]
        if verb == "promote":
            assert differing(main, aside) == {}
        output = place.run("orchestration.cli", *words[3:], cwd=project)
        said.setdefault(verb, []).append(output)
        if verb == "run":
            (one,) = listed(place)
            first = one["publication"]
            shutil.copyfile(main, aside)
            before = count(main, "not is_valid")
            more = count(main, "is_valid and service in ('yellow', 'green') and total_usd > 100")
    assert more > 0
    checked, tried = said["check-change"][0], said["diff"]
    assert checked == tried[0]
    assert moved(tried[1]) == moved(tried[0])
    assert moved(tried[0]).items() >= {"is_valid": more, "invalid_reason": more}.items()
    assert "<td>invalid_reason</td>" in (project / "change.html").read_text()
    # after the promotion, the rows of the environment are the main ones
    assert count(main, "not is_valid") == before + more
    assert differing(main, place.folder / "warehouse.sample.env-check.duckdb") == {}
    in_environment, rolled_back = said["query"]
    assert str(before + more) in in_environment.split()
    assert str(before) in rolled_back.split()
    assert [p["is_current"] for p in listed(place)] == [False, False, True]
    assert listed(place)[1]["run"] == "promote check"

    # the rule that a unit test states otherwise is no change that passes
    tests = project / "dbt_project/models/intermediate/_int_trips_validated__unit_tests.yml"
    shutil.copyfile(PROJECT_ROOT / tests.relative_to(project), tests)
    check = ("check-change", "--sample", "--quiet")
    place.run("orchestration.cli", *check, expect=1, cwd=project)
    assert "rules_of_money_and_repeats" in place.last_stderr
    place.run("orchestration.cli", "promote", "--sample", "check", expect=1, cwd=project)
    assert "the last run of dbt failed" in place.last_stderr


def assert_changes(sed: list[str], project: Path) -> None:
    file = project / sed[-1]
    before = file.read_text()
    subprocess.run(sed, cwd=project, check=True)
    assert file.read_text() != before


def listed(place: Place) -> Any:
    return place.medallion_json("publications", "--sample")


def count(warehouse: Path, condition: str) -> int:
    with duckdb.connect(warehouse, read_only=True) as connection:
        sql = f"select count(*) from marts.fct_trips where {condition}"
        ((found,),) = connection.execute(sql).fetchall()
    return int(found)


def moved(output: str) -> dict[str, int]:
    """The columns of the facts that differ, and in how many rows."""
    facts = output.partition("\nmarts.fct_trips\n")[2].partition("\n\n")[0]
    table = facts.partition("\ncolumn ")[2].splitlines()[1:]
    lines = (line.split() for line in table)
    return {line[0]: int(line[1]) for line in lines if line[0] not in ("changed", "added")}
