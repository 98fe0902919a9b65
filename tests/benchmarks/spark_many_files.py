"""Spark over 600 files with 31 sets of columns, as TLC's: planning, and what a night costs.

The files have a few rows each, so that all that is measured is what their number costs. Start-up of
the cluster is outside the clock. A plan is what `explain` takes in a session of its own, which
knows nothing of the files yet: views, tables, lists of files, and the plan itself. The first one of
a kind also waits for Java to compile what it runs.
"""

import os
import tempfile
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from pathlib import Path

import pyarrow as pa

from ingestion.settings import Settings
from ingestion.sources.files.publisher import months_between
from ingestion.sources.tlc.datasets import TRIP_DATASETS
from ingestion.warehouse.spark.connection import close, connect
from ingestion.warehouse.spark.statements import Statements
from tests.benchmarks.support import cpu_of_cluster, environment, medallion, spark_cluster, timed
from tests.support.trips import publish, trips, with_column

ROWS = 10
LAST = date(2026, 8, 1)  # with it, they are 595 files
NEW = date(2026, 9, 1)
# The types that columns have had from a month on, beside those that `trips()` gives them.
DRIFT: dict[str, dict[str, str]] = {
    "yellow": {
        "2010-02": "rate_code=int64 __index_level_0__=int64",
        "2010-04": "rate_code=string __index_level_0__=",
        "2011-01": "VendorID=int64 PULocationID=int64 DOLocationID=int64 passenger_count=int64"
        " RatecodeID=int64 store_and_fwd_flag=string",
        "2011-02": "airport_fee=null congestion_surcharge=null",
        "2011-03": "congestion_surcharge=double",
        "2011-04": "congestion_surcharge=null",
        "2014-08": "improvement_surcharge=null",
        "2014-09": "improvement_surcharge=double",
        "2018-01": "airport_fee=double congestion_surcharge=double",
        "2018-02": "airport_fee=null congestion_surcharge=null",
        "2018-07": "passenger_count=double RatecodeID=double",
        "2019-01": "congestion_surcharge=double",
        "2020-08": "airport_fee=double",
        "2020-10": "airport_fee=null",
        "2020-11": "airport_fee=double",
        "2023-02": "VendorID=int32 PULocationID=int32 DOLocationID=int32 passenger_count=int64"
        " RatecodeID=int64 store_and_fwd_flag=large_string",
    },
    "green": {
        "2014-01": "VendorID=int64 PULocationID=int64 DOLocationID=int64 congestion_surcharge=null"
        " store_and_fwd_flag=string",
        "2015-01": "ehail_fee=null",
        "2019-01": "congestion_surcharge=double ehail_fee=double",
        "2019-09": "ehail_fee=null",
        "2023-02": "VendorID=int32 PULocationID=int32 DOLocationID=int32 passenger_count=int64"
        " RatecodeID=int64 payment_type=int64 trip_type=int64 ehail_fee=double"
        " store_and_fwd_flag=large_string",
    },
    "fhv": {
        "2015-01": "dispatching_base_num=string Affiliated_base_number=string",
        "2019-03": "SR_Flag=null",
        "2019-05": "PUlocationID=int64 DOlocationID=int64",
        "2019-07": "PUlocationID=double DOlocationID=double",
        "2020-07": "DOlocationID=int64",
        "2020-08": "DOlocationID=double",
        "2023-02": "PUlocationID=int64 DOlocationID=int64 SR_Flag=int64"
        " dispatching_base_num=large_string Affiliated_base_number=large_string",
    },
    "fhvhv": {
        "2019-02": "PULocationID=int64 DOLocationID=int64 wav_match_flag=null airport_fee=null",
        "2019-04": "wav_match_flag=string",
        "2019-07": "airport_fee=double",
        "2020-04": "airport_fee=null",
        "2020-05": "airport_fee=double",
        "2023-02": "PULocationID=int32 DOLocationID=int32 wav_match_flag=large_string",
    },
}


def main() -> None:
    """Print the seconds, and those of the Thrift server's processor."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
        root = Path(folder)
        sets = {_publish(root / "published", *each) for each in _months(LAST)}
        print(f"{len(_months(LAST))} files, {len(sets)} sets of columns")
        env = environment(root)
        medallion(env, "land")
        with spark_cluster(env, workers=2) as here:
            _say("load: rows are counted, views written", here, lambda: medallion(here, "load"))
            _say("build and test all marts", here, lambda: medallion(here, "transform"))
            for name, sql in _plans(here).items():
                for time in ("first", "again"):
                    _say(f"plan of {name}, {time}", here, partial(_explain, here, sql))
            _say("nothing new: run", here, lambda: medallion(here, "run"))
            for dataset in DRIFT:
                _publish(root / "published", dataset, NEW)
            for stage in ("land", "load", "transform"):
                _say(f"a month of four files more: {stage}", here, partial(medallion, here, stage))


def _months(last: date) -> list[tuple[str, date]]:
    return [
        (dataset.name, month)
        for dataset in TRIP_DATASETS
        if dataset.first_month
        for month in months_between(dataset.first_month, last)
    ]


def _publish(folder: Path, dataset: str, month: date) -> tuple[object, ...]:
    """Publish a month with the types that it had; returns its columns."""
    types: dict[str, str] = {}
    for since, changes in DRIFT[dataset].items():
        if since <= f"{month:%Y-%m}":
            types |= dict(change.split("=") for change in changes.split())
    table = trips(dataset, month, ROWS)
    for name, type_ in types.items():
        if type_ == "null" and name in table.column_names:
            table = with_column(table, name, pa.nulls(ROWS))
        elif type_ == "int64" and (name in table.column_names or name.startswith("__")):
            table = with_column(table, name, [1] * ROWS)
        elif type_ and name in table.column_names:
            table = with_column(table, name, table[name].combine_chunks().cast(type_))
    publish(folder, dataset, month, table)
    return (dataset, *((field.name, str(field.type)) for field in table.schema))


def _plans(env: Mapping[str, str]) -> dict[str, str]:
    """Statements of Spark by what they are."""
    month = f"service in ('yellow') and source_month in (date '{LAST}')"
    daily = "select pickup_date, sum(trips) from marts.daily_trips"
    plans = {}
    for table in ("intermediate.int_trips", "marts.fct_trips"):
        (model,) = Path(env["MEDALLION_WORK_DIR"]).glob(f"dbt/**/compiled/**/{table[-9:]}.sql")
        build = (
            f"insert overwrite {table} partition (service, source_month)"
            " select /*+ rebalance(service, source_month) */ {columns}"
            f" from ({model.read_text()}) as model"
        )
        plans[f"{table}, one month"] = f"{build} where {month}"
        plans[f"{table}, all months"] = build
    return plans | {
        "a query of a mart, one month": f"{daily} where {month} group by 1",
        "a query of a mart, all months": f"{daily} group by 1",
        "a query of the facts, one month": f"select count(*) from marts.fct_trips where {month}",
        "a query of the facts, all months": "select count(*), sum(total_usd) from marts.fct_trips",
    }


def _explain(env: Mapping[str, str], sql: str) -> None:
    connection = connect(Settings(_env_file=None, spark_port=int(env["MEDALLION_SPARK_PORT"])))
    try:
        statements = Statements(connection, (), "")
        if "{columns}" in sql:
            columns = statements.described(f"select * from {sql.split()[2]}")
            sql = sql.replace("{columns}", ", ".join(f"`{name}`" for name, _ in columns))
        ((plan,),) = statements.fetch(f"explain {sql}").rows
        assert "== Physical Plan ==" in plan, plan
        assert "Error" not in plan[:100], plan
    finally:
        close(connection)


def _say(what: str, env: Mapping[str, str], work: Callable[[], object]) -> None:
    before = cpu_of_cluster(env)["server"]
    seconds = timed(work)
    spent = cpu_of_cluster(env)["server"] - before
    print(f"  {what:<50} {seconds:8.2f} s, {spent:8.2f} CPU s of the server", flush=True)


if __name__ == "__main__":
    main()
