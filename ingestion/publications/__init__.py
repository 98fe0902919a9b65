"""Publications: the tested marts as immutable Parquet files, for readers who never wait for a run.

A publication is one tested state of the marts. ``write`` adds one and swaps it in, ``views`` makes
the DuckDB file through which it is read, ``read`` opens one, ``retention`` deletes old ones and
``verify`` compares the files with their sha256. Below ``MEDALLION_PUBLISH_URL`` there are:

    medallion.duckdb, manifest.json      the current publication, for every other tool
    publications/ID/                     the same two files of each publication
    marts/TABLE/service=S/source_month=M/KEY-SHA256.parquet
    marts/TABLE/SHA256.parquet           a small table as a whole
"""
