"""The site of 17 years of four services: seconds, memory, and what each page makes a browser load.

The marts are generated, without facts: of every month, every zone and most hours. The baseline is
the site of the sample on the same machine.
"""

import os
import re
import tempfile
from pathlib import Path

import duckdb

from tests.benchmarks.support import environment, medallion, peak_mb, report, timed

# service, first month, share of the zones' hours with a trip
SERVICES = (
    ("yellow", "2009-01-01", 40),
    ("green", "2013-08-01", 20),
    ("fhv", "2015-01-01", 30),
    ("fhvhv", "2019-02-01", 90),
)
LAST = "2025-12-01"
COPIED = (
    "marts.dim_zones",
    "marts.dim_dates",
    "marts.dim_companies",
    "staging.invalid_reasons",
    "intermediate.dbt_invocations",
    "marts.ledger_single_files",
    "marts.document_pages",
)
# marts of a row a month and a few other columns: a month of the sample is taken for every month
REPEATED = {
    "monthly_service_summary": "source_month",
    "ledger": "month",
    "ledger_reasons": "month",
    "tlc_reconciliation": "month",
    "base_reconciliation_monthly": "month",
    "report_measures": "month",
    "daily_trips": "source_month",
    "congestion_pricing": "source_month",
    "fhvhv_service": "source_month",
}
DAYS = {"daily_trips": "pickup_date", "congestion_pricing": "pickup_date"}
BIG = """
insert into marts.hourly_zone_demand by name
select service, month as source_month, zone_id as pickup_zone_id,
    month + to_hours(hour::int) as pickup_hour, 1 + hash(zone_id, hour, month) % 90 as trips,
    1.25 * trips as total_usd
from months, zones, range(24 * 31) as hours (hour)
where hash(zone_id, hour, service, month) % 100 < share
    and month + to_hours(hour::int) < month + interval 1 month;
insert into marts.hourly_zone_dropoffs by name
select service, source_month, pickup_zone_id as dropoff_zone_id, pickup_hour as dropoff_hour,
    trips, total_usd
from marts.hourly_zone_demand semi join months
    on months.service = hourly_zone_demand.service and months.month = source_month;
insert into marts.zone_pair_trips by name
select service, month as source_month, a.zone_id as pickup_zone_id, b.zone_id as dropoff_zone_id,
    1 + hash(a.zone_id, b.zone_id, month) % 500 as trips, 2.5 * trips as total_usd
from months, zones as a, zones as b
where hash(a.zone_id, b.zone_id, service, month) % 100 < share;
insert into marts.monthly_zone_revenue by name
select service, month as source_month, zone_id as pickup_zone_id,
    1000 + hash(zone_id, month) % 90000 as trips, trips * 12.34 as fare_usd, trips * 2.1 as tip_usd,
    trips * 0.5 as tolls_usd, trips * 16.17 as total_usd, trips * 0.1 as unexplained_usd,
    trips * 1.0 as extra_usd
from months, zones;
insert into marts.tip_shares by name
select service, source_month, pickup_zone_id, trips as card_trips, trips as tipped_card_trips,
    fare_usd as card_fare_usd, tip_usd as card_tip_usd
from marts.monthly_zone_revenue semi join months
    on months.service = monthly_zone_revenue.service and months.month = source_month
where service in ('yellow', 'green');
"""


def generate(sample: Path, warehouse: Path) -> None:
    """Make a warehouse of generated marts, with the columns and the dimensions of the sample's."""
    months = " union all ".join(
        f"select '{service}' as service, cast(m as date) as month, {share} as share"
        f" from range(date '{first}', date '{LAST}' + interval 1 month, interval 1 month) as r (m)"
        for service, first, share in SERVICES
    )
    with duckdb.connect(warehouse) as connection:
        connection.execute("set memory_limit = '2GB'; set preserve_insertion_order = false")
        connection.execute(f"attach '{sample}' as sample (read_only)")
        for schema in ("marts", "staging", "intermediate", "raw"):
            connection.execute(f"create schema {schema}")
        tables = connection.execute(
            "select table_name from duckdb_tables() where database_name = 'sample'"
            " and schema_name = 'marts' and table_name <> 'fct_trips'"
        ).fetchall()
        for table in {f"marts.{name}" for (name,) in tables} | set(COPIED):
            kept = "" if table in COPIED else "limit 0"
            connection.execute(f"create table {table} as select * from sample.{table} {kept}")
        connection.execute("create table raw.files as select * from sample.raw.files")
        connection.execute(f"create temp table every_month as {months}")
        connection.execute("create temp table months as from every_month")
        connection.execute("create temp table zones as select zone_id from marts.dim_zones")
        for table, month in REPEATED.items():
            service = "dataset" if table.startswith("ledger") else "service"
            moved = f"months.month as {month}"
            if day := DAYS.get(table):
                moved += f", months.month + (t.{day} - t.{month})::int as {day}"
            connection.execute(
                f"insert into marts.{table} by name select t.* replace ({moved})"
                f" from sample.marts.{table} as t join months on months.service = t.{service}"
                f" where t.{month} = (select max({month}) from sample.marts.{table})"
            )
        # a month after another, as models are built
        for service, month in connection.execute(
            "select service, month from every_month order by month, service"
        ).fetchall():
            connection.execute(
                "create or replace temp table months as from every_month"
                " where service = ? and month = ?",
                [service, month],
            )
            connection.execute(BIG)


def weight(site: Path, page: Path) -> int:
    """The bytes that a browser loads to show a page: the largest file of each folder counts."""
    build = site / re.search(r'href="(build-[^/]+)/', page.read_text())[1]
    loaded = [page, *(build / n for n in re.findall(r'build-[^/]+/([\w.]+)"', page.read_text()))]
    own = {"index": "trips"}.get(page.stem, page.stem)
    loaded += (build / "data").glob(f"{own}.js")
    if page.stem == "zones":
        loaded.append(build / "data" / "shapes.js")
        for folder in ("map", "hours", "zone"):
            loaded.append(max((build / "data" / folder).iterdir(), key=lambda p: p.stat().st_size))
    return sum(path.stat().st_size for path in set(loaded))


def main() -> None:
    """Print seconds, megabytes of memory, and kilobytes of each page."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
        place = Path(folder)
        env = environment(place)
        medallion(env, "run", "--sample")
        generate(place / "warehouse.sample.duckdb", place / "warehouse.duckdb")
        sample, site = place / "sample-site", place / "site"
        seconds = {
            "sample, the first time": timed(
                lambda: medallion(env, "site", "--sample", "--out", str(sample))
            ),
            "sample": timed(lambda: medallion(env, "site", "--sample", "--out", str(sample))),
            "17 years": timed(lambda: medallion(env, "site", "--out", str(site))),
        }
        report("the site", seconds, "sample")
        print(f"  {'17 years, peak memory':<40} {peak_mb(env, 'site', '--out', str(site)):8.0f} MB")
        for page in sorted(site.glob("*.html")):
            print(f"  {page.name:<40} {weight(site, page) / 1000:8.0f} kB")
        build = max(path for path in site.iterdir() if path.is_dir())
        files = [path for path in build.rglob("*") if path.is_file()]
        whole = sum(path.stat().st_size for path in files)
        print(f"  {f'all {len(files)} files':<40} {whole / 1e6:8.1f} MB")


if __name__ == "__main__":
    main()
