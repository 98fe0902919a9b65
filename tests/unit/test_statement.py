"""Which months a statement can rest on: perhaps too many, never too few."""

from datetime import date

import pytest

from orchestration.assistants.proof import Scope
from orchestration.assistants.statement import scope_of

JANUARY, MARCH = date(2024, 1, 1), date(2024, 3, 1)
GREEN = frozenset({"green"})
ALL = Scope()
DAILY = "select sum(trips) from marts.daily_trips"


@pytest.mark.parametrize(
    ("sql", "scope"),
    [
        (f"{DAILY} where service = 'green'", Scope(GREEN)),
        (f"{DAILY} where 'green' = service and trips > 1", Scope(GREEN)),
        (f"{DAILY} where service in ('green', 'fhv')", Scope(frozenset({"green", "fhv"}))),
        (f"{DAILY} where source_month = date '2024-01-01'", Scope(None, JANUARY, JANUARY)),
        (
            f"{DAILY} where (service = 'green')"
            " and source_month between '2024-01-01' and '2024-03-01'",
            Scope(GREEN, JANUARY, MARCH),
        ),
        (f"{DAILY} where source_month >= '2024-01-01'", Scope(None, JANUARY)),
        (f"{DAILY} where '2024-03-01' >= source_month", Scope(None, None, MARCH)),
        (
            f"{DAILY} where pickup_date >= '2024-01-15'"
            " and pickup_date < cast('2024-03-01' as date)",
            Scope(None, JANUARY, date(2024, 2, 29)),
        ),
        (
            "select * from Marts.Hourly_Zone_Demand"
            " where pickup_hour < timestamp '2024-03-01 05:00'",
            Scope(None, None, MARCH),
        ),
        # the smallest that holds all that is read
        (
            f"{DAILY} where service = 'green' and source_month = '2024-01-01' union all"
            f" {DAILY} where service = 'fhv' and source_month = '2024-03-01'",
            Scope(frozenset({"green", "fhv"}), JANUARY, MARCH),
        ),
        (
            f"with t as ({DAILY} where service = 'green') select * from t where 1 = 1",
            Scope(GREEN),
        ),
        (f"select * from ({DAILY} where service = 'green') as t", Scope(GREEN)),
        (
            "select z.zone, sum(d.trips) from marts.hourly_zone_demand as d"
            " inner join marts.dim_zones as z on d.pickup_zone_id = z.zone_id"
            " where d.service = 'green' group by 1",
            Scope(GREEN),
        ),
    ],
)
def test_conditions_limit_the_months(sql: str, scope: Scope) -> None:
    assert scope_of(sql, "duckdb") == scope
    assert scope_of(sql, "postgres") == scope


@pytest.mark.parametrize(
    "sql",
    [
        DAILY,
        "show tables",
        "this is no sql (",
        "select 1",
        "select * from marts.dim_zones",
        "select * from raw.files where dataset = 'green'",
        f"{DAILY} where service = 'green' or trips > 1",
        f"{DAILY} where not service = 'green'",
        f"{DAILY} where service <> 'green'",
        f"{DAILY} where service like 'green'",
        f"{DAILY} where service in (select service from marts.ledger)",
        f"{DAILY} where coalesce(service, 'green') = 'green'",
        f"{DAILY} where source_month = 'no date'",
        # one of two tables has no condition
        f"{DAILY} where service = 'green' and trips > (select avg(trips) from marts.daily_trips)",
        "select * from marts.daily_trips as a, marts.daily_trips as b where a.service = 'green'",
        "select * from marts.daily_trips, marts.tip_shares where service = 'green'",
        # the facts also have trips of other months
        "select * from marts.fct_trips where pickup_date = '2024-01-01'",
        # the condition is about what the select calls so, or about a column around it
        "select 'green' as service, sum(trips) from marts.daily_trips where service = 'green'",
        "select * from marts.ledger as l where exists"
        " (select 1 from marts.dim_dates, marts.fct_trips as f where l.dataset = 'green')",
        "select * from marts.ledger"
        " where exists (select 1 from marts.fct_trips where service = 'x')",
        # the names of the columns are others
        "select * from marts.daily_trips as t(source_month, service) where t.service = 'green'",
        "select * from marts.daily_trips left join marts.tip_shares as s"
        " on s.service = 'green' and s.source_month = '2024-01-01'",
        "pivot marts.daily_trips on service using sum(trips)",
        "explain select * from marts.daily_trips where service = 'green'",
    ],
)
def test_where_it_is_not_certain_all_months_count(sql: str) -> None:
    assert scope_of(sql, "duckdb") == ALL


def test_conditions_that_exclude_each_other_leave_nothing() -> None:
    scope = scope_of(f"{DAILY} where service = 'green' and service = 'fhv'", "duckdb")
    assert not scope.holds("green", JANUARY)
    assert not scope.holds("fhv", JANUARY)
    other = scope_of(f"{DAILY} where service = 'green' and service = 'fhv' union {DAILY}", "duckdb")
    assert other == ALL
