"""The figures of the site and of the proof, from marts whose rows a test writes by hand."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import duckdb
import pytest

from ingestion.warehouse import connect
from ingestion.warehouse.base import Session
from orchestration.assistants.proof import Scope, proof_of, read_books
from orchestration.job.verdict import verdict_of
from orchestration.site.figures import query
from orchestration.site.trust import balances, missing, single_balances
from tests.conftest import MakeSettings

Marts = Callable[[str], AbstractContextManager[Session]]

LEDGER = """
create table marts.ledger (
    file_id text, dataset text, month date, file_rows bigint, raw_rows bigint, fact_rows bigint,
    valid_rows bigint, invalid_rows bigint, missing_file_id text, missing_reason text,
    is_balanced boolean
);
create table marts.tlc_reconciliation (
    service text, month date, trips_per_day double, tlc_trips_per_day double, diff_pct double,
    tolerance_pct double, status text, known_divergence text
);
create table marts.ledger_single_files (
    file_id text, dataset text, table_name text, file_rows bigint, raw_rows bigint,
    missing_file_id text, missing_reason text, is_balanced boolean
);
insert into marts.ledger values
    ('a', 'green', '2024-01-01', 20, 20, 20, 19, 1, null, null, true),
    ('b', 'green', '2024-02-01', 30, 30, 30, 30, 0, 'c', 'c was withdrawn', true),
    ('d', 'green', '2024-03-01', 40, 0, 0, 0, 0, 'd', 'd was forgotten', false),
    ('e', 'report', '2024-03-01', 50, 0, null, null, null, 'e', 'it is not loaded', false);
insert into marts.ledger_single_files values
    ('f', 'zones', 'zones__f', 60, 60, null, null, true),
    ('g', 'bases', 'bases__g', 70, 0, 'g', 'it is not loaded', false);
"""


@pytest.fixture
def marts(make_settings: MakeSettings) -> Marts:
    """A function that opens a warehouse whose marts a script makes."""
    settings = make_settings()

    @contextmanager
    def opened(script: str) -> Iterator[Session]:
        with duckdb.connect(settings.duckdb_path) as connection:
            connection.execute("create schema marts;" + script)
        with connect(settings, read_only=True) as session:
            yield session

    return opened


def test_a_month_without_a_version_in_use_is_missing_and_has_no_balance(marts: Marts) -> None:
    with marts(LEDGER) as session:
        ledger = session.query(query("ledger")).records()
        single = session.query(query("ledger_single_files")).records()
        proof = proof_of(
            session, "the warehouse", Scope(), read_books(session, Scope()), "medallion run"
        )
    verdict = verdict_of(ledger, single, [])
    assert verdict.is_balanced
    assert (verdict.files, verdict.file_rows, verdict.valid_rows) == (2, 50, 49)
    assert (verdict.first, verdict.last, verdict.missing) == ("2024-01", "2024-02", 4)
    assert "do not use" not in verdict.words
    (green,) = balances(ledger)
    assert green["is_balanced"]
    assert (green["months"], green["numbers"]) == ("2024-01 to 2024-02", [2, 50, 50, 50, 49, 1])
    (zones,) = single_balances(single)
    assert (zones["dataset"], zones["is_balanced"]) == ("zones", True)
    assert missing([*ledger, *single]) == [
        "green 2024-02: c was withdrawn",
        "green 2024-03: d was forgotten",
        "report 2024-03: it is not loaded",
        "bases: it is not loaded",
    ]
    assert (proof.ledger_balances, proof.verdict) == (True, verdict.words)
    assert [(m.dataset, m.last_month, m.files, m.file_rows) for m in proof.months] == [
        ("green", "2024-02", 2, 50)
    ]
    assert [line for line in proof.exceptions if "is missing" not in line] == []
    assert proof.exceptions[1] == "green 2024-03 is missing: d was forgotten"


@pytest.mark.parametrize("count", ["raw_rows", "fact_rows"])
def test_rows_of_a_version_that_is_not_in_use_do_not_balance(marts: Marts, count: str) -> None:
    left = f"update marts.ledger set {count} = 40 where file_id = 'd';"
    with marts(LEDGER + left) as session:
        ledger = session.query(query("ledger")).records()
        proof = proof_of(
            session, "the warehouse", Scope(), read_books(session, Scope()), "medallion run"
        )
    assert not verdict_of(ledger, [], []).is_balanced
    assert [line["is_balanced"] for line in balances(ledger)] == [False]
    assert not proof.ledger_balances
    assert "green 2024-03 does not balance: rows were lost or doubled" in proof.exceptions


# --- figures -------------------------------------------------------------------------------------


def test_what_passengers_paid_is_of_all_valid_trips(marts: Marts) -> None:
    summary = """
        create table marts.monthly_service_summary as
        select 'fhvhv' as service, 1 as company_id, date '2024-01-01' as source_month,
            10 as trips, 200.00 as total_usd, 120.00 as driver_pay_usd
        union all select 'fhvhv', 2, date '2024-01-01', 30, 400.00, null
        union all select 'fhv', null, date '2024-01-01', 50, null, null;
        -- trips with a pickup zone only
        create table marts.monthly_zone_revenue as
        select 'fhvhv' as service, date '2024-01-01' as source_month, 132 as pickup_zone_id,
            9 as trips, 180.00 as total_usd, 110.00 as driver_pay_usd
    """
    with marts(summary) as session:
        (line,) = session.query(query("revenue_by_month")).records()
    assert (line["service"], line["trips"]) == ("fhvhv", 40)
    assert (line["total_usd"], line["driver_pay_usd"]) == (600, 120)
    assert line["avg_total_usd"] == 15


def test_driver_pay_is_divided_by_the_hours_and_fares_of_the_same_trips(marts: Marts) -> None:
    # Of zone 1: 100 USD of pay, of which 60 are of 2 hours that count; 125 USD of fares are of
    # trips with pay. Zone 2: 30 USD, all in an hour, of 35 USD. Zone 3: nobody was paid.
    # Zone 4: pay that comes to 0, for 40 USD.
    cars = """
        create table marts.dim_companies as select 1 as company_id, 'Uber' as company;
        create table marts.fhvhv_service as
        select 1 as company_id, 'fhvhv' as service, date '2024-01-01' as source_month,
            1 as pickup_zone_id, 200.00 as fare_usd, 100.00 as driver_pay_usd,
            2.0::double as driver_hours, 30.0::double as driver_pay_per_hour_usd,
            (25 / 125)::double as platform_share
        union all select 1, 'fhvhv', date '2024-01-01', 2, 35, 30, 1, 30, 5 / 35
        union all select 1, 'fhvhv', date '2024-01-01', 3, 90, null, null, null, null
        union all select 1, 'fhvhv', date '2024-01-01', 4, 40, 0, 1, 0, 1
    """
    with marts(cars) as session:
        (line,) = session.query(query("driver_pay")).records()
    assert line["usd_per_hour"] == pytest.approx((60 + 30) / 4)
    assert line["share_of_fares"] == pytest.approx((100 + 30) / (125 + 35 + 40))
