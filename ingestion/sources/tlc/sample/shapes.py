"""The shapefile of the made-up city: a small square for each zone, in the form of TLC's file."""

import io
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ingestion.sources.tlc.sample import city

# the .prj of TLC's own file
PROJECTION = (
    'PROJCS["NAD_1983_StatePlane_New_York_Long_Island_FIPS_3104_Feet",'
    'GEOGCS["GCS_North_American_1983",DATUM["D_North_American_1983",'
    'SPHEROID["GRS_1980",6378137.0,298.257222101]],PRIMEM["Greenwich",0.0],'
    'UNIT["Degree",0.0174532925199433]],PROJECTION["Lambert_Conformal_Conic"],'
    'PARAMETER["False_Easting",984250.0],PARAMETER["False_Northing",0.0],'
    'PARAMETER["Central_Meridian",-74.0],PARAMETER["Standard_Parallel_1",40.66666666666666],'
    'PARAMETER["Standard_Parallel_2",41.03333333333333],'
    'PARAMETER["Latitude_Of_Origin",40.16666666666666],UNIT["Foot_US",0.3048006096012192]]'
)
# TLC's LocationID is the same for these
_SHARED_IDS = {57: 56, 104: 103, 105: 103}
_WITHOUT_SHAPE = (city.UNKNOWN, city.OUTSIDE)
_SIDE, _COLUMNS, _WEST, _SOUTH = 500.0, 17, 985_000.0, 200_000.0  # feet, and squares in a row

Ring = list[tuple[float, float]]


@dataclass(frozen=True)
class Shape:
    """One shape with its attributes; rings go clockwise, and holes the other way."""

    objectid: int
    location_id: int
    zone: str
    borough: str
    rings: list[Ring]


def square(x: float, y: float, side: float) -> Ring:
    """The ring of a square with this south-western corner."""
    return [(x, y), (x, y + side), (x + side, y + side), (x + side, y), (x, y)]


def zone_shapes() -> Iterator[Shape]:
    """The shapes of the zones: a block of squares, in which they lie as in the city."""
    rows = {zone: row for zone, *row in city.lookup_rows() if zone not in _WITHOUT_SHAPE}
    places = city.places(np.array(list(rows)))
    west_to_east = [int(i) for i in np.argsort(places[:, 0], kind="stable")]
    height = -(-len(rows) // _COLUMNS)
    zones = list(rows)
    square_of = {}
    for column in range(_COLUMNS):
        those = west_to_east[column * height : (column + 1) * height]
        for row, i in enumerate(sorted(those, key=lambda i: float(places[i, 1]))):
            square_of[zones[i]] = square(_WEST + column * _SIDE, _SOUTH + row * _SIDE, _SIDE)
    for zone, (borough, name, _) in rows.items():
        yield Shape(zone, _SHARED_IDS.get(zone, zone), name, borough, [square_of[zone]])


def shapefile(shapes: Iterable[Shape], projection: str = PROJECTION) -> bytes:
    """The zipped shapefile of these shapes; the same shapes give the same bytes."""
    from shapefile import POLYGON, Writer

    files = {ending: io.BytesIO() for ending in ("shp", "shx", "dbf")}
    with Writer(**files, shapeType=POLYGON) as writer:
        writer.field("OBJECTID", "N", 9)
        writer.field("Shape_Leng", "F", 19, 11)
        writer.field("Shape_Area", "F", 19, 11)
        writer.field("zone", "C", 254)
        writer.field("LocationID", "N", 4)
        writer.field("borough", "C", 254)
        for shape in shapes:
            writer.poly(shape.rings)
            # the length and area of the first shape that TLC published: nothing reads them
            writer.record(shape.objectid, 0.116357453189, 0.0007823067885, shape.zone,
                          shape.location_id, shape.borough)  # fmt: skip
    contents = {ending: file.getvalue() for ending, file in files.items()}
    # the day on which it was written
    contents["dbf"] = contents["dbf"][:1] + bytes((125, 1, 1)) + contents["dbf"][4:]
    contents["prj"] = projection.encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for ending, content in contents.items():
            member = zipfile.ZipInfo(f"taxi_zones.{ending}")
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    return out.getvalue()
