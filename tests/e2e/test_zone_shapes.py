"""Zones of trips that publish coordinates: by made-up shapes on both engines, and by TLC's own."""

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely

from ingestion.sources.tlc.sample.shapes import Shape, shapefile, square
from ingestion.sources.tlc.shapes.read import read_shapes
from tests.e2e.conftest import Place
from tests.support import postgres
from tests.support.trips import ZONES, publish, trips, with_column

pytestmark = pytest.mark.slow

DEGREES = (
    'GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],'
    'PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]'
)
WITH_COORDINATES, WITH_ZONES = date(2010, 3, 1), date(2024, 1, 1)
X, Y = -73.9812, 40.7524  # a corner that lies within a cell of the grid
# The zones 1 and 2 have a common border, 128 has a hole, and 57 has two parts and TLC's wrong id.
SHAPES = [
    Shape(1, 1, "West", "Manhattan", [square(X - 0.005, Y, 0.005)]),
    Shape(2, 2, "East", "Manhattan", [square(X, Y, 0.005)]),
    Shape(
        128,
        128,
        "Ring",
        "Queens",
        [square(X + 0.02, Y, 0.006), square(X + 0.022, Y + 0.002, 0.002)[::-1]],
    ),
    Shape(57, 56, "Two parts", "Queens", [square(X, Y + 0.02, 0.003), square(X, Y + 0.03, 0.003)]),
]
# a point, and the zone in which it lies
POINTS: list[tuple[float, float, int | None]] = [
    (X - 0.0025, Y + 0.0025, 1),
    (X - 1e-8, Y + 0.0011, 1),
    (X + 1e-8, Y + 0.0011, 2),
    (X + 0.0049999, Y + 0.0049999, 2),
    (X + 0.0050001, Y + 0.002, None),
    (-73.98, 40.754, 2),  # on the lines of the grid
    (-73.979, 40.755000000000003, 2),
    (X + 0.021, Y + 0.003, 128),
    (X + 0.023, Y + 0.003, None),  # in the hole
    (X + 0.0255, Y + 0.003, 128),
    (X + 0.001, Y + 0.021, 57),
    (X + 0.001, Y + 0.025, None),
    (X + 0.001, Y + 0.031, 57),
    (0.0, 0.0, None),
    (float("nan"), Y + 0.001, None),
    (X - 0.0025, float("inf"), None),
    (1e308, -1e308, None),
    (-180.0, 90.0, None),
]
ON_THE_BORDER = (X, Y + 0.0025)


def month_with_coordinates(points: list[tuple[float, float]]) -> pa.Table:
    """A row a point, which is its pickup; the dropoff is the next point."""
    table = trips("yellow", WITH_COORDINATES, rows=len(points))
    for name, values in (
        ("pickup_longitude", [x for x, _ in points]),
        ("pickup_latitude", [y for _, y in points]),
        ("dropoff_longitude", [x for x, _ in [*points[1:], points[0]]]),
        ("dropoff_latitude", [y for _, y in [*points[1:], points[0]]]),
    ):
        table = with_column(table, name, values, pa.float64())
    return table


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A month with coordinates and one with zones, built on both engines without any shapes."""
    place = Place(tmp_path_factory.mktemp("shapes"))
    publish(place.published, "taxi_zone_lookup", None, ZONES)
    points = [*(point[:2] for point in POINTS), ON_THE_BORDER]
    publish(place.published, "yellow", WITH_COORDINATES, month_with_coordinates(points))
    publish(place.published, "yellow", WITH_ZONES, trips("yellow", WITH_ZONES))
    with (
        postgres.server(tmp_path_factory.mktemp("postgres")) as server,
        postgres.database(server) as variables,
    ):
        place.env |= variables
        yield place


def asked(place: Place, sql: str) -> list[tuple[Any, ...]]:
    """The rows, which are the same on both engines."""
    connection = postgres.connect(place.env)
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            found = cursor.fetchall()
    finally:
        connection.close()
    assert place.query(sql) == found
    return found


def run(place: Place, *more: str) -> list[Any]:
    """Run the job on both engines; the reports."""
    return [
        place.medallion_json("run", "--quiet", "--target", target, *more)
        for target in ("duckdb", "postgres")
    ]


ZONES_OF_TRIPS = (
    "select pickup_zone_id, dropoff_zone_id, zone_source from marts.fct_trips"
    f" where source_month = date '{WITH_COORDINATES}' order by trip_id"
)
BUILT = (
    "select built_at from intermediate.month_builds where table_name = 'marts.fct_trips'"
    " and source_month = date '{}'"
)


def test_without_shapes_nothing_fails_and_nothing_has_one(city: Place) -> None:
    for report in run(city):
        assert report["faults"] == []
        assert report["ledger_balances"] is True
    assert asked(city, "select count(*), count(geometry) from marts.dim_zones") == [(4, 0)]
    assert set(asked(city, ZONES_OF_TRIPS)) == {(None, None, None)}
    (zones,) = (f for f in city.medallion_json("status")["files"] if f["dataset"] == "taxi_zones")
    assert (zones["published"], zones["versions"]) == (False, 0)


def test_shapes_that_arrive_rebuild_the_months_with_coordinates_only(city: Place) -> None:
    before = city.query(BUILT.format(WITH_ZONES))
    publish(city.published, "taxi_zones", None, shapefile(SHAPES, DEGREES))
    for report in run(city):
        assert report["faults"] == []
        assert report["ledger_balances"] is True
    assert city.query(BUILT.format(WITH_ZONES)) == before
    found = asked(city, ZONES_OF_TRIPS)
    assert [row[0] for row in found[:-1]] == [zone for *_, zone in POINTS]
    # never in two, and in the same on both engines
    assert found[-1][0] in (1, 2)
    assert [row[1] for row in found] == [*(row[0] for row in found[1:]), found[0][0]]
    assert {row[2] for row in found if row[:2] == (None, None)} == {None}
    assert {row[2] for row in found if row[:2] != (None, None)} == {"coordinates"}
    assert asked(
        city,
        "select distinct zone_source from marts.fct_trips"
        f" where source_month = date '{WITH_ZONES}'",
    ) == [("published",)]


def test_the_zones_have_their_shapes_and_groups(city: Place) -> None:
    assert asked(
        city,
        "select zone_id, is_airport, is_cbd, centroid_longitude, geometry is not null"
        " from marts.dim_zones order by zone_id",
    ) == [
        (1, True, False, -73.9837, True),
        (2, False, False, -73.9787, True),
        (128, False, False, -73.9582, True),
        (264, False, False, None, False),
    ]


def test_marts_by_zone_have_these_months(city: Place) -> None:
    valid = (
        "select count(*) from marts.fct_trips where is_valid and pickup_zone_id is not null"
        f" and source_month = date '{WITH_COORDINATES}'"
    )
    ((trips_with_zone,),) = asked(city, valid)
    for mart in ("hourly_zone_demand", "monthly_zone_revenue"):
        counted = (
            f"select sum(trips) from marts.{mart} where source_month = date '{WITH_COORDINATES}'"
        )
        assert asked(city, counted) == [(trips_with_zone,)] != [(0,)]


def test_the_same_shapes_again_rebuild_nothing_and_others_do(city: Place) -> None:
    with_coordinates, with_zones = BUILT.format(WITH_COORDINATES), BUILT.format(WITH_ZONES)
    before = city.query(with_coordinates), city.query(with_zones)
    assert [report["built"] for report in run(city)] == [False, False]
    assert (city.query(with_coordinates), city.query(with_zones)) == before

    moved = [Shape(2, 2, "East", "Manhattan", [square(X, Y, 0.006)]), *SHAPES[2:]]
    publish(city.published, "taxi_zones", None, shapefile(moved, DEGREES))
    run(city)
    assert city.query(with_coordinates) != before[0]
    assert city.query(with_zones) == before[1]
    zones = [row[0] for row in asked(city, ZONES_OF_TRIPS)]
    assert zones[:5] == [None, None, 2, 2, 2]


@pytest.mark.parametrize("content", [b"PK\x03\x04 no zip", shapefile(SHAPES[:1], DEGREES)[:-40]])
def test_a_damaged_shapefile_leaves_the_last_in_use(city: Place, content: bytes) -> None:
    before = asked(city, "select * from marts.dim_zones order by zone_id")
    publish(city.published, "taxi_zones", None, content)
    report = city.medallion_json("run", "--quiet", expect=1)
    assert "taxi_zones" in report["faults"][0]
    assert "damaged" in report["faults"][0]
    assert city.query("select * from marts.dim_zones order by zone_id") == before


def near_borders(shapes: Any, count: int) -> Any:
    """Points on the edges of the shapes, and from a hair to a kilometre aside."""
    rng = np.random.default_rng(263)
    corners, of = shapely.get_coordinates(shapes, return_index=True)
    one = rng.choice(len(corners) - 1, count)
    other = np.where(of[one] == of[one + 1], one + 1, one)
    along = rng.uniform(0, 1, (count, 1))
    aside = rng.normal(0, 1, (count, 2)) * 10.0 ** rng.uniform(-9, -2, (count, 1))
    return corners[one] * along + corners[other] * (1 - along) + aside


@pytest.fixture(scope="module")
def real_points() -> Any:
    """Points near the borders of the zones; the fixture ``real`` fills it."""
    return []


@pytest.fixture(scope="module")
def real(
    real_data: Path, real_points: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> Place:
    """TLC's own shapes, months with coordinates, and one of points near borders."""
    place = Place(tmp_path_factory.mktemp("real"))
    shutil.copytree(real_data / "misc", place.published / "misc")
    samples = {
        "samples/yellow_tripdata_2009-01_1000_rows.csv": "yellow_tripdata_2009-01.csv",
        "samples/yellow_tripdata_2015-01_1000_rows.csv": "yellow_tripdata_2015-01.csv",
        "trip-data-csv/green_tripdata_2013-08.csv": "green_tripdata_2013-08.csv",
    }
    (place.published / "trip-data").mkdir()
    for path, name in samples.items():
        shutil.copyfile(real_data / path, place.published / "trip-data" / name)
    found = read_shapes(real_data / "misc/taxi_zones.zip")["shapes"]
    shapes = shapely.from_geojson([shape["geometry"] for shape in found])
    real_points += [(float(x), float(y)) for x, y in near_borders(shapes, 20_000)]
    publish(place.published, "yellow", WITH_COORDINATES, month_with_coordinates(real_points))
    place.medallion("run", "--quiet")
    return place


def test_points_near_borders_lie_where_shapely_says(
    real: Place, real_points: list[Any], real_data: Path
) -> None:
    """But for points that are within a tenth of a millimetre of a border."""
    found = read_shapes(real_data / "misc/taxi_zones.zip")["shapes"]
    shapes = shapely.from_geojson([shape["geometry"] for shape in found])
    points = shapely.points(real_points)
    theirs: dict[int, int] = {}
    for point, shape in shapely.STRtree(shapes).query(points, predicate="intersects").T:
        # of shapes that overlap the first
        zone = found[shape]["objectid"]
        theirs[int(point)] = min(zone, theirs.get(int(point), zone))
    borders = shapely.STRtree(shapely.boundary(shapes))
    (_, _), distances = borders.query_nearest(points, return_distance=True, all_matches=False)
    clear = [i for i, distance in enumerate(distances) if distance > 1e-9]
    assert len(clear) > 19_000
    ours = [zone for zone, *_ in real.query(ZONES_OF_TRIPS)]
    assert {i: (ours[i], theirs.get(i)) for i in clear if ours[i] != theirs.get(i)} == {}


@pytest.mark.parametrize(
    ("service", "month", "least"),
    [("yellow", "2009-01", 99), ("yellow", "2015-01", 99), ("green", "2013-08", 99)],
)
def test_nearly_every_real_pickup_with_coordinates_has_a_zone(
    real: Place, service: str, month: str, least: float
) -> None:
    """Of those that are not 0."""
    ((share,),) = real.query(
        "select 100.0 * count(pickup_zone_id) / count(*) from marts.fct_trips"
        f" where service = '{service}' and source_month = date '{month}-01'"
        " and pickup_longitude <> 0"
    )
    assert share >= least


def test_every_zone_of_the_lookup_but_those_of_no_place_has_a_shape(real: Place) -> None:
    assert real.query(
        "select zone_id from marts.dim_zones where geometry is null order by zone_id"
    ) == [(264,), (265,)]
    groups = "select count(*) filter (is_airport), count(*) filter (is_cbd) from marts.dim_zones"
    assert real.query(groups) == [(3, 38)]
    # an id that stands for several shapes in the shapefile is that of one of them here
    assert (
        real.query(
            "select d.zone_id from marts.dim_zones as d join staging.stg_tlc__zone_shapes as s"
            " using (zone_id) where d.zone <> s.zone_name or d.borough <> s.borough"
        )
        == []
    )
