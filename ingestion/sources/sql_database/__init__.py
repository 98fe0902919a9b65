"""The kind ``sql_database``: tables and queries of a database that SQLAlchemy can reach."""
