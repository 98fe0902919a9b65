"""What the files of the dbt project say together, read without running dbt."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jinja2 import Environment

from ingestion.settings import PROJECT_ROOT
from ingestion.warehouse.spark.requirements import SESSION
from tests.support import holiday_seed

DBT = PROJECT_ROOT / "dbt_project"


def described() -> Iterator[dict[str, Any]]:
    """Every model and seed as its YAML file describes it."""
    for folder in (DBT / "models", DBT / "seeds"):
        for path in sorted(folder.rglob("*.yml")):
            content = yaml.safe_load(path.read_text())
            yield from (*content.get("models", []), *content.get("seeds", []))


def test_dbt_sets_and_checks_every_setting_of_spark_that_results_depend_on() -> None:
    profiles = yaml.safe_load((DBT / "profiles.yml").read_text())
    given = profiles["medallion"]["outputs"]["spark"]["server_side_parameters"]
    given = {name.removeprefix("set:"): value.lower() for name, value in given.items()}
    macro = (DBT / "macros/materializations/spark/session.sql").read_text()
    checked = {
        name: value.lower() for name, value in re.findall(r"'(spark\.[\w.]+)': '(\w+)'", macro)
    }
    assert checked.items() <= given.items()
    assert {name: value.lower() for name, (value, _) in SESSION.items()}.items() <= checked.items()


def test_a_description_that_columns_share_stands_once_as_a_docs_block() -> None:
    texts = Counter(
        column["description"] for node in described() for column in node.get("columns", [])
    )
    assert [text for text, times in texts.items() if times > 1 and "doc(" not in text] == []


def columns_of(model: str) -> dict[str, str | None]:
    """The columns of a model as its YAML file lists them, with their types where it gives any."""
    (node,) = (node for node in described() if node["name"] == model)
    return {column["name"]: column.get("data_type") for column in node["columns"]}


def given_by(macro: str, **others: Any) -> Any:
    """What a macro returns: dbt's `return` gives a value, where Jinja's macros give text."""
    returned: list[Any] = []
    # the macros are ours, and give no HTML
    env = Environment(extensions=["jinja2.ext.do"])
    env.globals.update({"return": returned.append, **others})
    template = env.from_string((DBT / "macros" / f"{macro}.sql").read_text())
    getattr(template.module, macro)()
    (value,) = returned
    return value


@pytest.fixture(scope="module")
def trip_columns() -> dict[str, Any]:
    """The one list of a trip's columns, as models get it."""
    services = given_by("trip_services")
    columns: dict[str, Any] = given_by("trip_columns", trip_services=lambda: services)
    return columns


def test_the_contract_of_the_facts_is_the_list_of_trip_columns(
    trip_columns: dict[str, Any],
) -> None:
    types = {name: its["type"] for name, its in trip_columns.items()}
    assert columns_of("fct_trips") == types | {
        "invalid_reason": "text",
        "is_valid": "boolean",
        "company_id": "integer",
        "wait_seconds": "bigint",
        "speed_mph": "double precision",
        "fare_per_mile": "double precision",
        "zone_source": "text",
        "extra_corrected_usd": "double precision",
        "mta_tax_corrected_usd": "double precision",
    }


def test_the_seed_of_holidays_is_what_the_package_says() -> None:
    assert holiday_seed.SEED.read_text() == holiday_seed.holiday_rows(), (
        "Write it again: uv run python -m tests.support.holiday_seed"
    )


def test_the_views_before_the_facts_describe_the_same_columns(trip_columns: dict[str, Any]) -> None:
    assert list(columns_of("int_trips")) == list(trip_columns)
    added = ["invalid_reason", "zone_source"]
    assert list(columns_of("int_trips_validated")) == [*trip_columns, *added]
    for service in trip_columns["service"]["services"]:
        its_own = {name for name, its in trip_columns.items() if service in its["services"]}
        assert columns_of(f"stg_tlc__{service}_trips").keys() == its_own
