"""The Parquet file of the grid over the shapes of the zones, by which SQL finds a point's zone."""

from pathlib import Path

from ingestion.sources.tlc.shapes.read import read_shapes, reader, write_table

TYPES = {
    "objectid": "int32",
    "cell_x": "int32",
    "cell_y": "int32",
    "longitude_1": "double",
    "latitude_1": "double",
    "longitude_2": "double",
    "latitude_2": "double",
}


def version() -> str:
    """What reads the shapes."""
    return reader()


def write_rows(document: Path, _name: str, _document_id: str, target: Path) -> bool:
    """Write the cells of the shapes of a shapefile."""
    write_table(read_shapes(document)["cells"], TYPES, target)
    return True
