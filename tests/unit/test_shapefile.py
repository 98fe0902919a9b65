"""The shapes of the zones, and what becomes of shapefiles that are broken or made to do harm."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from ingestion.errors import UntrustedFileError
from ingestion.formats.validate import check
from ingestion.sources.tlc.datasets import DATASETS
from ingestion.sources.tlc.sample.shapes import (
    Shape,
    shapefile,
    square,
    zone_shapes,
)
from ingestion.sources.tlc.shapes import cells_file, reader, shapes_file
from ingestion.sources.tlc.shapes.read import read_shapes

DEGREES = (
    'GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],'
    'PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]'
)
# in TLC's feet, in Manhattan
SQUARE = Shape(1, 1, "Square", "Manhattan", [square(990_000.0, 205_000.0, 3_000.0)])


def read(folder: Path, content: bytes) -> dict[str, Any]:
    path = folder / "taxi_zones.zip"
    path.write_bytes(content)
    return read_shapes(path)


def members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(contents: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return out.getvalue()


def changed(change: Callable[[dict[str, bytes]], None]) -> bytes:
    """A good shapefile whose members were changed."""
    contents = members(shapefile([SQUARE]))
    change(contents)
    return zipped(contents)


def without(ending: str) -> bytes:
    return changed(lambda contents: contents.pop(f"taxi_zones.{ending}") and None)


def test_a_shape_becomes_longitude_and_latitude(tmp_path: Path) -> None:
    found = read(tmp_path, shapefile([SQUARE]))["shapes"][0]
    assert {name: found[name] for name in ("objectid", "locationid", "zone", "borough")} == {
        "objectid": 1,
        "locationid": 1,
        "zone": "Square",
        "borough": "Manhattan",
    }
    shape = shapely.from_geojson(found["geometry"])
    west, south, east, north = shape.bounds
    # by PROJ's own cs2cs EPSG:2263 EPSG:4326
    assert (west, south) == pytest.approx((-73.979246, 40.729363), abs=2e-5)
    assert (east, north) == pytest.approx((-73.968418, 40.737596), abs=2e-5)
    centre = shapely.Point(found["centroid_longitude"], found["centroid_latitude"])
    assert centre.distance(shape.centroid) < 1e-6
    # RFC 7946: the outer ring goes against the clock, and the system is not named
    assert shape.exterior.is_ccw
    assert json.loads(found["geometry"]).keys() == {"type", "coordinates"}


def test_shapes_that_share_a_location_id_are_told_apart(tmp_path: Path) -> None:
    shapes = read(tmp_path, shapefile(zone_shapes()))["shapes"]
    assert len(shapes) == len({shape["objectid"] for shape in shapes}) == 263
    shared = [s["objectid"] for s in shapes if s["objectid"] != s["locationid"]]
    assert shared == [57, 104, 105]


def test_neighbours_keep_their_common_border_when_they_are_simplified(real_data: Path) -> None:
    shapes = read_shapes(real_data / "misc/taxi_zones.zip")["shapes"]
    simple = shapely.from_geojson([shape["geometry_simplified"] for shape in shapes])
    full = shapely.from_geojson([shape["geometry"] for shape in shapes])
    assert sum(len(shape["geometry_simplified"]) for shape in shapes) < 150_000
    assert shapely.is_valid(simple).all()
    # what lies in two zones or between them is no more than in the full shapes, or nearly
    overlapping = shapely.area(simple).sum() - shapely.union_all(simple).area
    assert overlapping < 1e-3 * shapely.area(simple).sum()
    # and no zone is another one
    same = shapely.area(shapely.intersection(simple, full)) / shapely.area(full)
    assert same.min() > 0.6
    assert np.median(same) > 0.98


def bomb(contents: dict[str, bytes]) -> None:
    contents["taxi_zones.shp"] = bytes(reader.MOST_UNPACKED + 1)


def moved(x: float, side: float = 3_000.0) -> bytes:
    return shapefile([Shape(1, 1, "Square", "Manhattan", [square(x, 205_000.0, side)])])


BAD: dict[str, tuple[bytes, str]] = {
    "no zip": (b"<html>Not found</html>", "it is damaged: File is not a zip file"),
    "cut": (shapefile([SQUARE])[:-30], "it is damaged"),
    "without shapes": (without("shp"), "it has no .shp, and should have one"),
    "without attributes": (without("dbf"), "it has no .dbf, and should have one"),
    "without a projection": (without("prj"), "it has no .prj, and should have one"),
    "two of them": (
        changed(lambda c: c.update({"older/taxi_zones.shp": c["taxi_zones.shp"]})),
        "it has 2 .shp, and should have one",
    ),
    "a bomb": (changed(bomb), "its .shp unpacks to more than 128 MB"),
    "damaged bytes": (
        changed(lambda c: c.update({"taxi_zones.shp": c["taxi_zones.shp"][:120]})),
        "it is damaged",
    ),
    "other columns": (
        changed(
            lambda c: c.update(
                {"taxi_zones.dbf": c["taxi_zones.dbf"].replace(b"OBJECTID", b"OBJECTNO")}
            )
        ),
        "its .dbf has no column objectid",
    ),
    "another projection": (
        changed(lambda c: c.update({"taxi_zones.prj": b"somewhere"})),
        "its .prj is not understood",
    ),
    "no shape": (shapefile([]), "it has no shape"),
    "an id twice": (shapefile([SQUARE, SQUARE]), "OBJECTID 1 stands twice"),
    "an id that is none": (
        shapefile([Shape(0, 1, "Square", "Manhattan", SQUARE.rings)]),
        "shape 1: objectid is no number of a zone: 0",
    ),
    "elsewhere": (moved(9_900_000.0), "shape 1 (Square) lies at longitude"),
    "no number": (moved(float("nan")), "it is damaged: "),
    "no area": (moved(990_000.0, 0.0), "shape 1 (Square) has no area"),
    "feet as degrees": (shapefile([SQUARE], DEGREES), "shape 1 (Square)"),
    "larger than the city": (moved(800_000.0, 740_000.0), "shape 1 (Square)"),
}


@pytest.mark.parametrize(("content", "reason"), BAD.values(), ids=BAD)
def test_a_bad_shapefile_is_refused_in_one_line(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "taxi_zones.zip"
    path.write_bytes(content)
    with pytest.raises(UntrustedFileError) as refused:
        check(path, DATASETS["taxi_zones"], None)
    assert str(refused.value).startswith(reason)
    assert "\n" not in str(refused.value)


def test_a_shape_that_crosses_itself_is_mended(tmp_path: Path) -> None:
    (x, y), side = (990_000.0, 205_000.0), 3_000.0
    bowtie = [(x, y), (x + side, y + side), (x + side, y), (x, y + side), (x, y)]
    found = read(tmp_path, shapefile([Shape(1, 1, "Bowtie", "Manhattan", [bowtie])]))["shapes"][0]
    shape = shapely.from_geojson(found["geometry"])
    assert shape.is_valid
    assert shape.area > 0


@pytest.mark.parametrize("dataset", ["taxi_zone_shapes", "taxi_zone_cells"])
def test_what_is_read_is_a_file_that_can_be_trusted(tmp_path: Path, dataset: str) -> None:
    module = shapes_file if dataset == "taxi_zone_shapes" else cells_file
    document, target, again = (tmp_path / name for name in ("a.zip", "a.parquet", "b.parquet"))
    document.write_bytes(shapefile([SQUARE]))
    module.write_rows(document, "", "", target)
    checked = check(target, DATASETS[dataset], None)
    assert checked.remarks == ()
    assert checked.row_count
    read_shapes.__globals__["_read"].cache_clear()
    module.write_rows(document, "", "", again)
    assert again.read_bytes() == target.read_bytes()
