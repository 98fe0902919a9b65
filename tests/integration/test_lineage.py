"""What each column of the models is made of, by dbt's compiled models and sqlglot."""

import pytest

from ingestion.errors import UsageError
from orchestration.job.lineage import Lineage, read_lineage
from tests.conftest import settings_in

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    settings = settings_in(tmp_path_factory.mktemp("lineage"))
    found = read_lineage(settings)
    assert read_lineage(settings) == found  # as it was kept
    return found


def test_the_columns_of_the_marts_are_followed(lineage: Lineage) -> None:
    marts = [name for name in lineage.columns() if name.startswith("marts.")]
    followed = [name for name in marts if lineage.origins.get(name)]
    assert len(followed) / len(marts) >= 0.95
    assert lineage.unresolved == ()
    # the others are constants, or made by the engine
    others = {name.split(".")[1] for name in set(marts) - set(followed)}
    assert others == {"dim_dates", "document_pages", "ledger_single_files", "report_measures"}


def test_a_column_is_followed_to_the_published_files(lineage: Lineage) -> None:
    upstream = lineage.upstream("marts.daily_trips.trip_miles")
    assert upstream["marts.fct_trips.trip_miles"] == 1
    assert {name for name in upstream if name.startswith("tlc.")} == {
        "tlc.yellow_tripdata.trip_distance",
        "tlc.green_tripdata.trip_distance",
        "tlc.fhvhv_tripdata.trip_miles",
    }
    # whatever it goes through: common table expressions, unions, stars and other names
    assert "tlc.green_tripdata.lpep_pickup_datetime" in lineage.upstream(
        "marts.hourly_zone_demand.pickup_hour"
    )


def test_a_count_is_made_of_rows_and_a_constant_of_nothing(lineage: Lineage) -> None:
    assert lineage.upstream("marts.daily_trips.trips") == {"marts.fct_trips.*": 1}
    assert lineage.upstream("staging.stg_tlc__green_trips.service") == {}


def test_what_is_made_of_a_column_is_found_with_who_uses_it(lineage: Lineage) -> None:
    downstream = lineage.downstream("tlc.green_tripdata.tip_amount")
    assert {"marts.fct_trips.tip_usd", "marts.monthly_zone_revenue.tip_usd"} <= set(downstream)
    assert "marts.tip_shares.card_fare_usd" not in downstream
    assert {e.name for e in lineage.exposures_of(downstream)} >= {"city_revenue"}
    assert lineage.downstream("marts.dim_vendors.vendor") == {}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("daily_trips.trips", "marts.daily_trips.trips"),
        ("marts.daily_trips.trips", "marts.daily_trips.trips"),
        ("median_card_tip_share", "marts.tip_shares.median_card_tip_share"),
    ],
)
def test_a_column_is_named_as_far_as_is_needed(lineage: Lineage, given: str, found: str) -> None:
    assert lineage.find(given) == found


@pytest.mark.parametrize(
    ("given", "said"),
    [("trips", "column of several relations"), ("daily_trips.fares", "There is no column")],
)
def test_a_name_that_says_no_column_is_refused(lineage: Lineage, given: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        lineage.find(given)


def test_columns_are_described_with_their_tests(lineage: Lineage) -> None:
    assert lineage.column("marts.fct_trips.trip_id").tests == ("unique",)
    assert lineage.column("marts.dim_zones.zone_id").tests == ("key", "not_null")
    assert lineage.column("marts.ledger.month").tests == ("key",)
    assert lineage.relations["marts.daily_trips"].description.startswith("Valid trips by service")
    assert "unit test" in " ".join(lineage.relations["intermediate.int_trips_validated"].tests)
