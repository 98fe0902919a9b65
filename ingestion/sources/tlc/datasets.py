"""What TLC publishes: the datasets, their paths, and their columns in every era. Data, not code.

Sources: TLC's data dictionaries (yellow and high-volume FHV of 2025-03-18, green of 2018-05-01,
FHV of 2018-10-18) and the Parquet footers of the files themselves. An era begins with the first
month that is published with other column names. One line is one column::

    published name   read type   types seen in the files

A star marks a column without which a month is worthless, or another dataset's.
"""

from collections.abc import Iterable
from datetime import date
from pathlib import Path

from ingestion.sources.base import DOCUMENT, TEXT, Column, Dataset, Derived, Era
from ingestion.sources.tlc.csv_headers import CSV_HEADERS
from ingestion.sources.tlc.validate import REPORT_COLUMNS, report_row_check, zone_row_check

SOURCE_NAME = "tlc"


def _columns(text: str) -> tuple[Column, ...]:
    lines = (line.split() for line in text.strip().splitlines())
    return tuple(
        Column(
            name.rstrip("*"),
            read_type,
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
    """The eras of the CSV files; a column has the read type of the same column in Parquet."""
    known = {c.name.lower(): c.read_type for era in eras for c in era.columns}

    def column(field: str) -> Column:
        starred, _, read_type = field.partition(":")
        name = starred.rstrip("*")
        as_read = read_type or known[name.lower()]
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

_ZONE_SHAPES = _columns("""
    objectid*             bigint  int32
    locationid*           bigint  int32
    zone*                 text    string
    borough*              text    string
    shape_leng*           double  double
    shape_area*           double  double
    centroid_longitude*   double  double
    centroid_latitude*    double  double
    geometry*             text    string
    geometry_simplified*  text    string
""")
_ZONE_CELLS = _columns("""
    objectid*     bigint  int32
    cell_x*       bigint  int32
    cell_y*       bigint  int32
    longitude_1*  double  double
    latitude_1*   double  double
    longitude_2*  double  double
    latitude_2*   double  double
""")

_REPORT_REQUIRED = {"Month/Year", "License Class", "Trips Per Day"}
_REPORT = tuple(
    Column(name, "text", frozenset({TEXT}), name in _REPORT_REQUIRED) for name in REPORT_COLUMNS
)

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


def _trips(
    name: str, first_month: date, eras: tuple[Era, ...], csv_eras: tuple[Era, ...]
) -> Dataset:
    """The trips of one service: one file for each month."""
    return Dataset(
        name=name,
        source=SOURCE_NAME,
        path=f"trip-data/{name}_tripdata_{{month}}.parquet",
        file_format="parquet",
        first_month=first_month,
        eras=eras,
        csv_eras=csv_eras,
        last_csv_month=LAST_CSV_MONTH,
        view=f"{name}_tripdata",
        alike=f"{name}[ _-]*trip[ _-]*data[ _-]*",
    )


def _check_shapes(path: Path) -> None:
    from ingestion.sources.tlc.shapes.read import check_shapes

    check_shapes(path)


def _of_shapes(name: str, reader: str, columns: tuple[Column, ...]) -> Dataset:
    """A dataset that is read out of the shapefile of the zones."""
    return Dataset(
        name=name,
        source=SOURCE_NAME,
        path="",
        file_format="parquet",
        first_month=None,
        eras=_eras(("2009-01", columns)),
        derived=Derived("taxi_zones", f"ingestion.sources.tlc.shapes.{reader}"),
    )


DATASETS: dict[str, Dataset] = {
    d.name: d
    for d in (
        _trips("yellow", date(2009, 1, 1), _YELLOW, _csv_eras("yellow", _YELLOW)),
        _trips("green", date(2014, 1, 1), _GREEN, _csv_eras("green", _GREEN)),
        _trips("fhv", date(2015, 1, 1), _FHV, _csv_eras("fhv", _FHV)),
        _trips("fhvhv", date(2019, 2, 1), _FHVHV, _csv_eras("fhvhv", _FHVHV)),
        Dataset(
            name="taxi_zone_lookup",
            source=SOURCE_NAME,
            path="misc/taxi_zone_lookup.csv",
            file_format="csv",
            first_month=None,
            eras=_eras(("2009-01", _ZONES)),
            # TLC itself called the file taxi+_zone_lookup.csv for years
            alike="taxi[ +_-]*zone[ +_-]*lookup",
            row_check=zone_row_check,
        ),
        Dataset(
            name="taxi_zones",
            source=SOURCE_NAME,
            path="misc/taxi_zones.zip",
            file_format=DOCUMENT,
            first_month=None,
            eras=_eras(("2009-01", ())),
            alike=r"taxi[ +_-]*zones?[^.]*\.zip",
            file_check=_check_shapes,
        ),
        _of_shapes("taxi_zone_shapes", "shapes_file", _ZONE_SHAPES),
        _of_shapes("taxi_zone_cells", "cells_file", _ZONE_CELLS),
        Dataset(
            name="tlc_monthly_report",
            source=SOURCE_NAME,
            path="misc/data_reports_monthly.csv",  # if the source is a folder
            url="https://www.nyc.gov/assets/tlc/downloads/csv/data_reports_monthly.csv",
            url_variable="MEDALLION_REPORT_URL",
            file_format="csv",
            first_month=None,
            eras=_eras(("2010-01", _REPORT)),
            view="monthly_report",
            alike="data[ _-]*reports[ _-]*monthly",
            read_names=REPORT_COLUMNS,
            row_check=report_row_check,
        ),
    )
}

TRIP_DATASETS = tuple(d for d in DATASETS.values() if d.monthly)
