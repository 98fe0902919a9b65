"""What TLC publishes: the datasets, where they lie, and their columns in every era. Data, not code.

Sources: TLC's data dictionaries (yellow and high-volume FHV of 2025-03-18, green of 2018-05-01,
FHV of 2018-10-18) and the Parquet footers of the files themselves. An era begins with the first
month that is published with other column names. One line is one column::

    published name   read type   types seen in the files

A star marks a column without which a month is worthless, or another dataset's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Literal, cast

from ingestion.sources.tlc.csv_headers import CSV_HEADERS

ReadType = Literal["bigint", "double", "text", "timestamp"]
FileFormat = Literal["parquet", "csv", "csv.gz"]
# the formats of a month, the best first: of several editions that are published one is taken
FORMATS: tuple[FileFormat, ...] = ("parquet", "csv", "csv.gz")
# the type of every column of a CSV file
TEXT = "text"

# A type to the right can hold every value of one to its left.
_WIDTH: tuple[ReadType, ...] = ("bigint", "double", "timestamp", "text")


@dataclass(frozen=True)
class Column:
    """One column as published in one era."""

    name: str
    read_type: ReadType
    file_types: frozenset[str]
    required: bool


@dataclass(frozen=True)
class Era:
    """The columns that files carry from ``since`` until the next era begins."""

    since: date
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Dataset:
    """One publication of TLC: a file a month, or one file that is replaced in place."""

    name: str
    code: int  # the first digit of every trip_id; 0 for what holds no trips
    path: str  # below the publisher's address, with {month} as YYYY-MM
    file_format: FileFormat
    first_month: date | None
    eras: tuple[Era, ...]
    csv_eras: tuple[Era, ...] = ()  # of the months that TLC published as CSV, when it did

    @property
    def monthly(self) -> bool:
        """Whether there is one file a month."""
        return self.first_month is not None

    @property
    def view(self) -> str:
        """The name of its read view in the schema ``tlc``."""
        return {"tlc_monthly_report": "monthly_report"}.get(self.name) or (
            f"{self.name}_tripdata" if self.monthly else self.name
        )

    def file_path(self, month: date | None, file_format: FileFormat | None = None) -> str:
        """Where the file of ``month`` lies below the publisher's address, in one of its formats."""
        path = self.path.format(month=f"{month:%Y-%m}" if month else "")
        return path.removesuffix(self.file_format) + file_format if file_format else path

    def format_of(self, address: str) -> FileFormat:
        """The format of a file of this dataset by its address, or its path in the lake."""
        endings = (f for f in reversed(FORMATS) if address.endswith(f".{f}"))
        return next(endings, self.file_format) if self.monthly else self.file_format

    def formats(self, month: date) -> tuple[FileFormat, ...]:
        """The formats in which TLC, or who keeps what it published, may have ``month``."""
        assert self.first_month, "only months are published in several formats"
        as_csv = bool(self.csv_eras) and self.csv_eras[0].since <= month <= LAST_CSV_MONTH
        return tuple(f for f in FORMATS if (as_csv if "csv" in f else month >= self.first_month))

    @property
    def first_edition(self) -> date | None:
        """The first month that was ever published, in whatever format."""
        if not self.monthly:
            return None
        return min(era.since for era in (*self.eras, *self.csv_eras))

    def era(self, month: date | None) -> Era:
        """The era that ``month`` belongs to; the newest for what has no months."""
        return _era_of(self.eras, month)

    def csv_era(self, month: date | None, names: Iterable[str]) -> Era:
        """The era of a CSV file of ``month`` with these columns.

        TLC's own, or for a file that was made of the Parquet edition that one's.
        """
        found = {read_name(name) for name in names}
        eras = [_era_of(eras, month) for eras in (self.csv_eras, self.eras) if eras]
        return max(eras, key=lambda era: len(found & {read_name(c.name) for c in era.columns}))

    @cached_property
    def read_schema(self) -> dict[str, ReadType]:
        """Every column that any era published: lower-case name → the widest type any era used."""
        schema: dict[str, ReadType] = {}
        for column in (c for era in (*self.eras, *self.csv_eras) for c in era.columns):
            name = read_name(column.name)
            widest = max(schema.get(name, column.read_type), column.read_type, key=_WIDTH.index)
            schema[name] = widest
        return schema


def read_name(published_name: str) -> str:
    """The read view's name for a column, however this file spells it, pads it or writes it big."""
    name = published_name.strip()
    return REPORT_COLUMNS.get(name, name).lower()


def _era_of(eras: tuple[Era, ...], month: date | None) -> Era:
    started = [era for era in eras if month is None or era.since <= month]
    return started[-1] if started else eras[0]


def _columns(text: str) -> tuple[Column, ...]:
    lines = (line.split() for line in text.strip().splitlines())
    return tuple(
        Column(
            name.rstrip("*"),
            cast(ReadType, read_type),
            frozenset(types.split("|")),
            name.endswith("*"),
        )
        for name, read_type, types in lines
    )


def _eras(*eras: tuple[str, Iterable[Column]]) -> tuple[Era, ...]:
    return tuple(Era(date.fromisoformat(f"{m}-01"), tuple(columns)) for m, columns in eras)


def _renamed(columns: tuple[Column, ...], **names: str) -> tuple[Column, ...]:
    return tuple(
        Column(names.get(c.name, c.name), c.read_type, c.file_types, c.required) for c in columns
    )


def _csv_eras(dataset: str, eras: tuple[Era, ...]) -> tuple[Era, ...]:
    """The eras of the CSV editions; a column has the read type that its namesake in Parquet has."""
    known = {read_name(c.name): c.read_type for era in eras for c in era.columns}

    def column(field: str) -> Column:
        starred, _, read_type = field.partition(":")
        name = starred.rstrip("*")
        as_read = cast(ReadType, read_type or known[read_name(name)])
        return Column(name, as_read, frozenset({TEXT}), starred.endswith("*"))

    return _eras(
        *((since, map(column, header.split(","))) for since, header in CSV_HEADERS[dataset])
    )


_CBD_FEE = _columns("cbd_congestion_fee  double  double")
_REQUEST_SOURCE = _columns("request_source  text  string|large_string|null")

_YELLOW_2009 = _columns("""
    vendor_name             text       string
    Trip_Pickup_DateTime*   text       string
    Trip_Dropoff_DateTime*  text       string
    Passenger_Count         bigint     int64
    Trip_Distance*          double     double
    Start_Lon               double     double
    Start_Lat               double     double
    Rate_Code               double     double|null
    store_and_forward       double     double|null
    End_Lon                 double     double
    End_Lat                 double     double
    Payment_Type            text       string
    Fare_Amt*               double     double
    surcharge               double     double
    mta_tax                 double     double|null
    Tip_Amt                 double     double
    Tolls_Amt               double     double
    Total_Amt*              double     double
""")
_YELLOW_2010 = _columns("""
    vendor_id            text       string
    pickup_datetime*     text       string
    dropoff_datetime*    text       string
    passenger_count      bigint     int64
    trip_distance*       double     double
    pickup_longitude     double     double
    pickup_latitude      double     double
    rate_code            text       string|int64
    store_and_fwd_flag   text       string|null
    dropoff_longitude    double     double
    dropoff_latitude     double     double
    payment_type         text       string
    fare_amount*         double     double
    surcharge            double     double
    mta_tax              double     double
    tip_amount           double     double
    tolls_amount         double     double
    total_amount*        double     double
""")
_YELLOW_2011 = _columns("""
    VendorID                bigint     int64|int32
    tpep_pickup_datetime*   timestamp  timestamp[us]
    tpep_dropoff_datetime*  timestamp  timestamp[us]
    passenger_count         double     int64|double
    trip_distance*          double     double
    RatecodeID              double     int64|double
    store_and_fwd_flag      text       string|large_string
    PULocationID*           bigint     int64|int32
    DOLocationID*           bigint     int64|int32
    payment_type            bigint     int64
    fare_amount*            double     double
    extra                   double     double
    mta_tax                 double     double
    tip_amount              double     double
    tolls_amount            double     double
    improvement_surcharge   double     double|null
    total_amount*           double     double
    congestion_surcharge    double     double|null
    airport_fee             double     double|null
""")
_YELLOW_2023 = _renamed(_YELLOW_2011, airport_fee="Airport_fee")

_GREEN_2014 = _columns("""
    VendorID                bigint     int64|int32
    lpep_pickup_datetime*   timestamp  timestamp[us]
    lpep_dropoff_datetime*  timestamp  timestamp[us]
    store_and_fwd_flag      text       string|large_string
    RatecodeID              double     int64|double
    PULocationID*           bigint     int64|int32
    DOLocationID*           bigint     int64|int32
    passenger_count         double     int64|double
    trip_distance*          double     double
    fare_amount*            double     double
    extra                   double     double
    mta_tax                 double     double
    tip_amount              double     double
    tolls_amount            double     double
    ehail_fee               double     double|null
    improvement_surcharge   double     double|null
    total_amount*           double     double
    payment_type            double     int64|double
    trip_type               double     int64|double
    congestion_surcharge    double     double|null
""")

_FHV_2015 = _columns("""
    dispatching_base_num*   text       string|large_string
    pickup_datetime*        timestamp  timestamp[us]
    dropOff_datetime        timestamp  timestamp[us]
    PUlocationID            double     int64|double|null
    DOlocationID            double     int64|double|null
    SR_Flag                 double     int64|double|null
    Affiliated_base_number* text       string|large_string|null
""")

_FHVHV_2019 = _columns("""
    hvfhs_license_num*      text       string|large_string
    dispatching_base_num    text       string|large_string
    originating_base_num    text       string|large_string
    request_datetime        timestamp  timestamp[us]
    on_scene_datetime       timestamp  timestamp[us]
    pickup_datetime*        timestamp  timestamp[us]
    dropoff_datetime*       timestamp  timestamp[us]
    PULocationID*           bigint     int64|int32
    DOLocationID*           bigint     int64|int32
    trip_miles*             double     double
    trip_time               bigint     int64
    base_passenger_fare*    double     double
    tolls                   double     double
    bcf                     double     double
    sales_tax               double     double
    congestion_surcharge    double     double
    airport_fee             double     double|null
    tips                    double     double
    driver_pay              double     double
    shared_request_flag     text       string|large_string
    shared_match_flag       text       string|large_string
    access_a_ride_flag      text       string|large_string
    wav_request_flag        text       string|large_string
    wav_match_flag          text       string|large_string|null
""")

_ZONES = _columns("""
    LocationID*   text  text
    Borough*      text  text
    Zone*         text  text
    service_zone  text  text
""")

# The header of TLC's report as its read names, in its order.
REPORT_COLUMNS = {
    "Month/Year": "month_year",
    "License Class": "license_class",
    "Trips Per Day": "trips_per_day",
    "Farebox Per Day": "farebox_per_day",
    "Unique Drivers": "unique_drivers",
    "Unique Vehicles": "unique_vehicles",
    "Vehicles Per Day": "vehicles_per_day",
    "Avg Days Vehicles on Road": "avg_days_vehicles_on_road",
    "Avg Hours Per Day Per Vehicle": "avg_hours_per_day_per_vehicle",
    "Avg Days Drivers on Road": "avg_days_drivers_on_road",
    "Avg Hours Per Day Per Driver": "avg_hours_per_day_per_driver",
    "Avg Minutes Per Trip": "avg_minutes_per_trip",
    "Percent of Trips Paid with Credit Card": "percent_of_trips_paid_with_credit_card",
    "Trips Per Day Shared": "trips_per_day_shared",
}
_REPORT_REQUIRED = {"Month/Year", "License Class", "Trips Per Day"}
_REPORT = tuple(
    Column(name, "text", frozenset({TEXT}), name in _REPORT_REQUIRED) for name in REPORT_COLUMNS
)

_TRIPS = "trip-data/{name}_tripdata_{{month}}.parquet"

# In May 2022 TLC moved to Parquet; nothing later was ever published as CSV.
LAST_CSV_MONTH = date(2022, 4, 1)

_YELLOW = _eras(
    ("2009-01", _YELLOW_2009),
    ("2010-01", _YELLOW_2010),
    ("2011-01", _YELLOW_2011),
    ("2023-02", _YELLOW_2023),
    ("2025-01", _YELLOW_2023 + _CBD_FEE),
    ("2026-06", _YELLOW_2023 + _CBD_FEE + _REQUEST_SOURCE),
)
_GREEN = _eras(
    ("2014-01", _GREEN_2014),
    ("2025-01", _GREEN_2014 + _CBD_FEE),
    ("2026-06", _GREEN_2014 + _CBD_FEE + _REQUEST_SOURCE),
)
_FHV = _eras(("2015-01", _FHV_2015))
_FHVHV = _eras(("2019-02", _FHVHV_2019), ("2025-01", _FHVHV_2019 + _CBD_FEE))

DATASETS: dict[str, Dataset] = {
    d.name: d
    for d in (
        Dataset(
            name="yellow",
            code=1,
            path=_TRIPS.format(name="yellow"),
            file_format="parquet",
            first_month=date(2009, 1, 1),
            eras=_YELLOW,
            csv_eras=_csv_eras("yellow", _YELLOW),
        ),
        Dataset(
            name="green",
            code=2,
            path=_TRIPS.format(name="green"),
            file_format="parquet",
            first_month=date(2014, 1, 1),
            eras=_GREEN,
            csv_eras=_csv_eras("green", _GREEN),
        ),
        Dataset(
            name="fhv",
            code=3,
            path=_TRIPS.format(name="fhv"),
            file_format="parquet",
            first_month=date(2015, 1, 1),
            eras=_FHV,
            csv_eras=_csv_eras("fhv", _FHV),
        ),
        Dataset(
            name="fhvhv",
            code=4,
            path=_TRIPS.format(name="fhvhv"),
            file_format="parquet",
            first_month=date(2019, 2, 1),
            eras=_FHVHV,
            csv_eras=_csv_eras("fhvhv", _FHVHV),
        ),
        Dataset(
            name="taxi_zone_lookup",
            code=0,
            path="misc/taxi_zone_lookup.csv",
            file_format="csv",
            first_month=None,
            eras=_eras(("2009-01", _ZONES)),
        ),
        Dataset(
            name="tlc_monthly_report",
            code=0,
            path="",  # it has an address of its own: Settings.report_source_url
            file_format="csv",
            first_month=None,
            eras=_eras(("2010-01", _REPORT)),
        ),
    )
}

TRIP_DATASETS = tuple(d for d in DATASETS.values() if d.monthly)
