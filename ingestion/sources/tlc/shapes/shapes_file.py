"""The Parquet file of the shapes of the zones, one row a shape."""

from pathlib import Path

from ingestion.sources.tlc.shapes.read import read_shapes, reader, write_table

TYPES = {
    "objectid": "int32",
    "locationid": "int32",
    "zone": "string",
    "borough": "string",
    "shape_leng": "double",
    "shape_area": "double",
    "centroid_longitude": "double",
    "centroid_latitude": "double",
    "geometry": "string",
    "geometry_simplified": "string",
}


def version() -> str:
    """What reads the shapes."""
    return reader()


def write_rows(document: Path, _name: str, _document_id: str, target: Path) -> bool:
    """Write the shapes of a shapefile."""
    shapes = read_shapes(document)["shapes"]
    write_table({name: [shape[name] for shape in shapes] for name in TYPES}, TYPES, target)
    return True
