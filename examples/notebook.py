"""A notebook to look at the marts: the site's pictures, made in Python.

    uv run --extra notebook marimo edit examples/notebook.py

It reads the present publication of the marts. For that of the sample, add ``-- --sample``.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Trips in New York City")


@app.cell
def _():
    import duckdb
    import marimo as mo

    import ingestion
    from ingestion.settings import load_settings
    from orchestration.site import pictures

    return duckdb, ingestion, load_settings, mo, pictures


@app.cell
def _(load_settings, mo):
    # settings come from the environment and .env, as for every command
    settings = load_settings()
    if mo.cli_args().get("sample") is not None:
        settings = settings.for_sample(settings.work_dir / "sample")
    return (settings,)


@app.cell
def _(duckdb, ingestion, settings):
    # each mart is a stream of Arrow batches; DuckDB keeps these, so that all cells can ask them
    MARTS = (
        "monthly_service_summary",
        "monthly_zone_revenue",
        "dim_companies",
        "dim_dates",
        "dim_zones",
        "tlc_reconciliation",
        "tip_shares",
    )
    con = duckdb.connect()
    con.execute("create schema marts")
    for mart in MARTS:
        reader = ingestion.marts(mart, settings=settings)
        con.execute(f"create table marts.{mart} as from reader")

    def rows(sql, *parameters):
        """The rows of a query on the marts, as dictionaries."""
        found = con.execute(sql, parameters)
        columns = [column[0] for column in found.description]
        return [dict(zip(columns, row)) for row in found.fetchall()]

    return (rows,)


@app.cell
def _(mo):
    mo.md("""
    # Trips in New York City

    The marts as they were published last, and the pictures of the site. Change a cell, and all
    that follow from it change with it.
    """)
    return


@app.cell
def _(pictures, rows):
    trips = pictures.picture("trips_by_month", rows(pictures.sql_of("trips_by_month")))
    trips
    return


@app.cell
def _(pictures, rows):
    tips = pictures.picture("tips_by_month", rows(pictures.sql_of("tips_by_month")))
    tips
    return


@app.cell
def _(mo, rows):
    held = rows(
        "select distinct service, source_month from marts.monthly_zone_revenue order by all"
    )
    months = sorted({f"{row['source_month']:%Y-%m}" for row in held}, reverse=True)
    service = mo.ui.dropdown(
        sorted({row["service"] for row in held}), value=held[0]["service"], label="service"
    )
    month = mo.ui.dropdown(months, value=months[0], label="month")
    mo.hstack([service, month], justify="start")
    return month, service


@app.cell
def _(month, pictures, rows, service):
    pickups = rows(
        "select pickup_zone_id, trips from marts.monthly_zone_revenue"
        " where service = ? and source_month = ? and pickup_zone_id is not null",
        service.value,
        f"{month.value}-01",
    )
    zones = pictures.zone_map(
        rows("select * from marts.dim_zones"),
        {row["pickup_zone_id"]: row["trips"] for row in pickups},
        f"Pickups of {service.value} in {month.value}",
    )
    zones
    return


@app.cell
def _(mo):
    mo.md("""
    Can it be trusted? Our trips a day beside the publisher's own report:
    """)
    return


@app.cell
def _(pictures, rows):
    trust = pictures.picture("reconciliation", rows(pictures.sql_of("reconciliation")))
    trust
    return


if __name__ == "__main__":
    app.run()
