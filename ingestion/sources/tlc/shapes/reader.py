"""The separate process that reads a shapefile: ``python -m … FILE NAME ANSWER``.

It gives the shapes as longitude and latitude, and the grid by which SQL finds the zone of a point.

The grid: each shape is cut into the cells of a grid. A cell that lies whole within it is one row.
Of a cell that its border crosses, each edge of the part within is one row, unless no ray to the
east can meet it. So a point lies in a shape where its cell is whole, or where a ray from it to the
east meets an odd number of the rows of its cell: an equality join, and no more edges than the cell
has. The parts reach a hair beyond their cells, so that it does not matter into which of two cells
a point on the line between them is counted.
"""

import io
import json
import math
import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingestion.apart import limit_this_process

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import shapely

    Numbers = npt.NDArray[np.float64]

# dbt_project/macros/grid_cell.sql has this number too: raise RULES with it
CELLS_PER_DEGREE = 1_000
HAIR = 1e-9  # degrees: a tenth of a millimetre, and far more than doubles are inexact here
MOST_CELLS = 4_000_000  # TLC's shapes span 0.3 million
MOST_UNPACKED = 128 << 20  # TLC's file has 1.6 MB
MOST_SHAPES = 100_000
DECIMALS = 7  # of a degree: a centimetre
SIMPLE_DECIMALS = 5
# Degrees, as https://shapely.readthedocs.io/en/stable/reference/shapely.coverage_simplify.html
# has it: the square root of the area of what may be cut off. All of TLC's become 150 kB of text.
TOLERANCE = 0.001
WEST, SOUTH, EAST, NORTH = -75.5, 39.5, -72.5, 42.0
COLUMNS = {
    "objectid": int,
    "locationid": int,
    "zone": str,
    "borough": str,
    "shape_leng": float,
    "shape_area": float,
}


class RefusedError(Exception):
    """The file is not what it should be, for the reason that the message gives."""


def read(path: Path) -> dict[str, Any]:
    """The shapes and the cells of a zipped shapefile; raises ``RefusedError``."""
    try:
        return _read(path)
    except (RefusedError, MemoryError):
        raise
    except Exception as exc:  # a damaged file makes zipfile, pyshp and GEOS raise nearly anything
        raise RefusedError(f"it is damaged: {_one_line(exc)}") from exc


def _read(path: Path) -> dict[str, Any]:
    import numpy as np
    import shapely
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    rows, projected, projection = _shapefile(path)
    try:
        degrees = Transformer.from_crs(CRS.from_wkt(projection), "EPSG:4326", always_xy=True)
    except ProjError as exc:
        raise RefusedError(f"its .prj is not understood: {_one_line(exc)}") from exc

    def in_degrees(coordinates: "Numbers") -> "Numbers":
        found = np.column_stack(degrees.transform(*coordinates.T))
        return np.round(found, DECIMALS) + 0.0  # no -0.0

    projected = [_polygons(shape) for shape in projected]
    shapes = [_polygons(shapely.transform(shape, in_degrees)) for shape in projected]
    for row, shape in zip(rows, shapes, strict=True):
        _refuse_elsewhere(row, shape)
    centroids = in_degrees(shapely.get_coordinates(shapely.centroid(projected)))
    simplified = _simplified(shapes)
    for row, shape, simple, centroid in zip(rows, shapes, simplified, centroids, strict=True):
        row["centroid_longitude"], row["centroid_latitude"] = map(float, centroid)
        row["geometry"] = shapely.to_geojson(shapely.orient_polygons(shape))
        row["geometry_simplified"] = shapely.to_geojson(shapely.orient_polygons(simple))
    cells: dict[str, list[Any]] = {}
    for row, shape in zip(rows, shapes, strict=True):
        for name, values in _cells(row["objectid"], shape):
            cells.setdefault(name, []).extend(values)
    return {"shapes": rows, "cells": cells}


def _shapefile(path: Path) -> tuple[list[dict[str, Any]], list["shapely.Geometry"], str]:
    """The rows, the shapes and the projection of a zipped shapefile."""
    import shapefile
    import shapely

    shp, dbf, prj = _members(path)
    file = shapefile.Reader(shp=io.BytesIO(shp), dbf=io.BytesIO(dbf))
    names = {field.name.lower() for field in file.fields}
    if missing := [name for name in COLUMNS if name not in names]:
        raise RefusedError(f"its .dbf has no column {', '.join(missing)}")
    rows: list[dict[str, Any]] = []
    shapes = []
    for found in file.iterShapeRecords():
        if len(rows) == MOST_SHAPES:
            raise RefusedError(f"it has more than {MOST_SHAPES:,} shapes")
        rows.append(_row(len(rows) + 1, found.record.as_dict()))
        if found.shape.shapeTypeName != "POLYGON":
            raise RefusedError(f"{_name(rows[-1])} is no polygon")
        shapes.append(shapely.geometry.shape(found.shape.__geo_interface__))
    if not rows:
        raise RefusedError("it has no shape")
    ids = [row["objectid"] for row in rows]
    if twice := [one for one in sorted(set(ids)) if ids.count(one) > 1]:
        raise RefusedError(f"OBJECTID {twice[0]} stands twice")
    return rows, shapes, prj.decode("utf-8", "replace")


def _members(path: Path) -> Iterator[bytes]:
    """The bytes of the .shp, the .dbf and the .prj; nothing is written to a disk."""
    with zipfile.ZipFile(path) as archive:
        for ending in (".shp", ".dbf", ".prj"):
            found = [i for i in archive.infolist() if i.filename.lower().endswith(ending)]
            if len(found) != 1:
                raise RefusedError(f"it has {len(found) or 'no'} {ending}, and should have one")
            # what it says of its size is what is unpacked at most
            if found[0].file_size > MOST_UNPACKED:
                raise RefusedError(f"its {ending} unpacks to more than {MOST_UNPACKED >> 20} MB")
            yield archive.read(found[0])


def _row(number: int, record: dict[str, Any]) -> dict[str, Any]:
    found = {name.lower(): value for name, value in record.items()}
    row: dict[str, Any] = {}
    for name, kind in COLUMNS.items():
        value = found[name]
        if kind is str:
            row[name] = str(value or "").replace("\0", "").strip()
            continue
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise RefusedError(f"shape {number}: {name} is no number")
        row[name] = kind(value)
        if kind is int and not 0 < row[name] < 1 << 31:
            raise RefusedError(f"shape {number}: {name} is no number of a zone: {row[name]}")
    return row


def _name(row: dict[str, Any]) -> str:
    shown = "".join(c for c in row["zone"] if c.isprintable())[:40]
    return f"shape {row['objectid']} ({shown})"


def _polygons(shape: "shapely.Geometry") -> "shapely.Geometry":
    """The shape mended where it crosses itself, without what has no area."""
    import shapely

    if not shape.is_valid:
        shape = shapely.make_valid(shape, method="structure", keep_collapsed=False)
    parts = [p for p in shapely.get_parts(shape) if p.geom_type == "Polygon" and not p.is_empty]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _refuse_elsewhere(row: dict[str, Any], shape: "shapely.Geometry") -> None:
    import shapely

    if shape.is_empty:
        raise RefusedError(f"{_name(row)} has no area near New York")
    west, south, east, north = shape.bounds
    # with not, as NaN compares with nothing
    if not (west >= WEST and south >= SOUTH and east <= EAST and north <= NORTH):
        raise RefusedError(
            f"{_name(row)} lies at longitude {west:.4f} to {east:.4f}, latitude {south:.4f} to"
            f" {north:.4f}: not near New York"
        )
    cells = (east - west) * (north - south) * CELLS_PER_DEGREE**2
    if cells > MOST_CELLS or shapely.get_num_coordinates(shape) > MOST_CELLS:
        raise RefusedError(f"{_name(row)} is larger than the city")


def _simplified(shapes: list["shapely.Geometry"]) -> list["shapely.Geometry"]:
    """The shapes with fewer points; neighbours keep their common borders."""
    import numpy as np
    import shapely

    def rounded(shape: "shapely.Geometry", decimals: int) -> "shapely.Geometry":
        return shapely.transform(shape, lambda found: np.round(found, decimals) + 0.0)

    return [
        # two of its points may have become one
        simple if (simple := rounded(shape, SIMPLE_DECIMALS)).is_valid else rounded(shape, DECIMALS)
        for shape in shapely.coverage_simplify(shapes, TOLERANCE)
    ]


def _cells(objectid: int, shape: "shapely.Geometry") -> Iterator[tuple[str, list[Any]]]:
    """The columns of the rows of the cells of a shape."""
    import numpy as np
    import shapely

    west, south, east, north = np.floor(np.multiply(shape.bounds, CELLS_PER_DEGREE)).astype(int)
    grid = np.meshgrid(np.arange(west, east + 1), np.arange(south, north + 1))
    x, y = (places.ravel() for places in grid)
    boxes = shapely.box(
        x / CELLS_PER_DEGREE - HAIR,
        y / CELLS_PER_DEGREE - HAIR,
        (x + 1) / CELLS_PER_DEGREE + HAIR,
        (y + 1) / CELLS_PER_DEGREE + HAIR,
    )
    shapely.prepare(shape)
    meets = shapely.intersects(shape, boxes)
    x, y, boxes = x[meets], y[meets], boxes[meets]
    whole = shapely.contains(shape, boxes)
    parts, of_part = shapely.get_parts(shapely.intersection(shape, boxes[~whole]), True)
    rings, of_ring = shapely.get_rings(parts, True)
    points, of_point = shapely.get_coordinates(rings, return_index=True)
    is_edge = of_point[1:] == of_point[:-1]
    begin, end = points[:-1][is_edge], points[1:][is_edge]
    cell = of_part[of_ring[of_point[:-1][is_edge]]]
    edge_x, edge_y = x[~whole][cell], y[~whole][cell]
    # a ray to the east meets none that goes along it, and none on the western side of the cell
    is_west = np.maximum(begin[:, 0], end[:, 0]) < edge_x / CELLS_PER_DEGREE - HAIR / 2
    is_met = (begin[:, 1] != end[:, 1]) & ~is_west
    nothing = [None] * int(whole.sum())
    edges = np.column_stack([begin, end])[is_met]
    yield "objectid", [objectid] * (len(nothing) + len(edges))
    yield "cell_x", [*x[whole].tolist(), *edge_x[is_met].tolist()]
    yield "cell_y", [*y[whole].tolist(), *edge_y[is_met].tolist()]
    for place, name in enumerate(("longitude_1", "latitude_1", "longitude_2", "latitude_2")):
        yield name, [*nothing, *edges[:, place].tolist()]


def _one_line(exc: Exception) -> str:
    return " ".join(str(exc).split())[:200] or type(exc).__name__


def main(path: str, _name: str, answer: str) -> None:
    """Read the shapefile and write the answer."""
    limit_this_process()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # else memory for each core of the machine
    found: dict[str, Any]
    try:
        found = read(Path(path))
    except RefusedError as exc:
        found = {"reason": str(exc)}
    except MemoryError:
        found = {"reason": "it takes too much memory to read"}
    Path(answer).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
