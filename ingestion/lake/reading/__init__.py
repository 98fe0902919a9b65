"""Reading the lake where it lies: Arrow batches, and views for DuckDB."""
