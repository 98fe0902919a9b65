"""The lake read where it lies: by DuckDB, by any tool that speaks DuckDB, by Python."""
