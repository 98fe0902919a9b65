"""A sample, published exactly as TLC publishes: without a network, with the same bytes each time.

Three months of every trip dataset from three eras of TLC's columns and types, with the zone lookup
and the monthly report that belong to them. The trips are made up; their faults are those of the
real files.
"""

import csv
import io
from calendar import monthrange
from collections.abc import Iterable
from contextlib import suppress
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.sources.base import Dataset
from ingestion.sources.tlc.datasets import DATASETS, TRIP_DATASETS
from ingestion.sources.tlc.sample import city
from ingestion.sources.tlc.sample.faults import plant, restated, trips_outside_month
from ingestion.sources.tlc.sample.report import report_rows
from ingestion.sources.tlc.sample.shapes import shapefile, zone_shapes
from ingestion.sources.tlc.sample.trips import Trips, clean_trips

MONTHS = (date(2023, 1, 1), date(2023, 2, 1), date(2025, 1, 1))
RESTATED = ("green", MONTHS[1])

# as TLC's report counts them: trips a day with a pickup in the month, in each of the months
_TRIPS_PER_DAY = {
    "yellow": (764, 812, 857),
    "green": (152, 150, 118),
    "fhv": (268, 274, 441),
    "fhvhv": (1_024, 1_061, 1_103),
}

# the type of a column in a month: the first of these that its era knows
_TYPES_UNTIL_2023_01 = ("double", "string", "int64", "timestamp[us]")
_TYPES_SINCE_2023_02 = ("int32", "large_string", "int64", "double", "timestamp[us]")
_EMPTY_UNTIL_2023_01 = ("ehail_fee", "SR_Flag")

# the columns that the four services name differently
_MADE_AS = {
    "tpep_pickup_datetime": "pickup_at",
    "lpep_pickup_datetime": "pickup_at",
    "pickup_datetime": "pickup_at",
    "tpep_dropoff_datetime": "dropoff_at",
    "lpep_dropoff_datetime": "dropoff_at",
    "dropoff_datetime": "dropoff_at",
    "pulocationid": "pickup_zone",
    "dolocationid": "dropoff_zone",
    "trip_distance": "miles",
    "trip_miles": "miles",
    "trip_time": "seconds",
}


def publish_sample(folder: Path, republished: bool = False) -> None:
    """Publish the sample into ``folder``, under the paths that TLC uses.

    With ``republished``, green 2023-02 is restated as TLC restates months: some trips go, some
    come late, some fares change. A file whose content stays the same is left alone, and with it
    the modification time by which a publisher's file is told from a newer version.
    """
    made = {(d.name, month): _month_of(d, month) for d in TRIP_DATASETS for month in MONTHS}
    zones = DATASETS["taxi_zone_lookup"]
    header = [column.name for column in zones.era(None).columns]
    _write(folder / zones.path, _csv([header, *city.lookup_rows()], csv.QUOTE_NONNUMERIC))
    _write(folder / DATASETS["taxi_zones"].path, shapefile(zone_shapes()))
    _write(folder / DATASETS["tlc_monthly_report"].path, _csv(report_rows(made), csv.QUOTE_MINIMAL))
    if republished:
        made[RESTATED] = restated(made[RESTATED])
    for (name, month), trips in made.items():
        dataset = DATASETS[name]
        _write(folder / dataset.file_path(month), _parquet(_table(dataset, month, trips)))


def _month_of(dataset: Dataset, month: date) -> Trips:
    seed = 1 + TRIP_DATASETS.index(dataset)
    rng = np.random.default_rng([seed, month.year, month.month])
    _, days = monthrange(month.year, month.month)
    in_month = _TRIPS_PER_DAY[dataset.name][MONTHS.index(month)] * days
    rarest = 3 + in_month // 5_000
    trips = clean_trips(rng, dataset.name, month, in_month + trips_outside_month(rarest))
    plant(rng, dataset.name, month, trips, rarest)
    return trips


def _table(dataset: Dataset, month: date, trips: Trips) -> pa.Table:
    """Give the trips the names, order and types that TLC publishes for ``month``."""
    recent = month >= date(2023, 2, 1)
    known = _TYPES_SINCE_2023_02 if recent else _TYPES_UNTIL_2023_01
    fields, arrays = [], []
    for column in dataset.era(month).columns:
        name = dataset.read_name(column.name)
        array = pa.array(trips[_MADE_AS.get(name, name)], from_pandas=True)
        if column.name in _EMPTY_UNTIL_2023_01 and not recent:
            array = pa.nulls(len(array))
        else:
            array = array.cast(pa.type_for_alias(next(t for t in known if t in column.file_types)))
        fields.append(pa.field(column.name, array.type))
        arrays.append(array)
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", row_group_size=1 << 20)
    return buffer.getvalue()


def _csv(rows: Iterable[Iterable[object]], quoting: int) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return text.getvalue().encode()


def _write(path: Path, content: bytes) -> None:
    """Replace a file that differs by a new file: the old one may have another hard link."""
    with suppress(FileNotFoundError):
        if path.read_bytes() == content:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
