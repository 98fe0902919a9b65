"""The words that no dataset may be called by."""

import duckdb

from ingestion.sources.sql_words import WORDS_OF_SQL


def test_the_words_are_those_of_the_installed_duckdb() -> None:
    with duckdb.connect() as connection:
        rows = connection.execute(
            "select keyword_name from duckdb_keywords() where keyword_category <> 'unreserved'"
        ).fetchall()
    assert {word for (word,) in rows} == WORDS_OF_SQL
