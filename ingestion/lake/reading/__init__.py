"""Reading the lake in place: as Arrow batches, and by views for DuckDB."""
