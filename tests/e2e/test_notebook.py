"""The notebook as it runs without a screen: its pictures have what the marts have."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ingestion.errors import UsageError
from ingestion.settings import PROJECT_ROOT
from orchestration.site import pictures
from orchestration.site.figures import figures
from tests.e2e.conftest import Place

pytestmark = pytest.mark.slow

NOTEBOOK = PROJECT_ROOT / "examples" / "notebook.py"


@pytest.fixture
def published(copy: Place) -> Place:
    """Six months of the sample, which are published."""
    copy.env["MEDALLION_PUBLISH_URL"] = str(copy.folder / "publications")
    copy.medallion("publish", "--quiet")
    return copy


def rows_of(place: Place, sql: str) -> list[dict[str, Any]]:
    with place.connect() as connection:
        found = connection.sql(sql)
        return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def marks(chart: Any, kind: str) -> int:
    """How many marks a chart has when it is drawn."""
    import vl_convert

    svg = vl_convert.vegalite_to_svg(chart.to_dict() | {"width": 600})
    groups = re.findall(rf'class="mark-{kind} role-mark [^"]*"(.*?)</g>', svg, re.DOTALL)
    return sum(group.count("<path") for group in groups)


def test_it_runs_and_shows_the_pictures(published: Place, tmp_path: Path) -> None:
    # marimo keeps what was shown beside the notebook
    notebook, out = shutil.copy(NOTEBOOK, tmp_path), tmp_path / "notebook.html"
    command = ["export", "html", str(notebook), "--output", str(out), "--no-include-code"]
    done = subprocess.run(
        [sys.executable, "-m", "marimo", *command],
        cwd=tmp_path,
        env=published.environment() | {"MARIMO_SKIP_UPDATE_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    assert "Trips in New York City" in text
    assert "Traceback" not in text
    for title in ("Trips a day", "Tips", "Pickups of", "Beside TLC's monthly report"):
        assert title in text.replace("\\u0027", "'").replace("&#x27;", "'"), title


def test_its_pictures_have_the_rows_of_the_marts(
    published: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in published.environment().items():
        if name.startswith("MEDALLION_"):
            monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("notebook", NOTEBOOK)
    assert spec
    assert spec.loader
    notebook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(notebook)
    outputs, made = notebook.app.run()
    assert sum("Chart" in type(shown).__name__ for shown in outputs) == 4
    trips = rows_of(published, pictures.sql_of("trips_by_month"))
    shown = made["trips"].to_dict()["datasets"]["rows"]
    assert [(row["service"], row["trips"]) for row in shown] == [
        (row["service"], row["trips"]) for row in trips
    ]
    assert marks(made["trips"], "symbol") == len(trips)
    zones = made["zones"].to_dict()["datasets"]["zones"]
    pickups = rows_of(
        published,
        "select pickup_zone_id as zone, trips from marts.monthly_zone_revenue"
        f" where service = '{made['service'].value}' and pickup_zone_id is not null"
        f" and source_month = '{made['month'].value}-01'",
    )
    values = {z["properties"]["id"]: z["properties"]["value"] for z in zones}
    assert {zone: trips for zone, trips in values.items() if trips is not None} == {
        row["zone"]: row["trips"] for row in pickups if row["zone"] in values
    }
    with_shape = sum(zone["geometry"] is not None for zone in zones)
    assert with_shape > 200
    assert marks(made["zones"], "shape") >= with_shape


def test_each_picture_of_the_site_can_be_made(part: Place) -> None:
    assert set(pictures.names()) == {f.name for page in figures().values() for f in page}
    for name in pictures.names():
        rows = rows_of(part, pictures.sql_of(name))
        chart = pictures.picture(name, rows).to_dict()
        assert len(chart["datasets"]["rows"]) == len(rows)
        assert json.dumps(chart)
    with pytest.raises(UsageError, match="There is no picture nothing; there are trips_by_month"):
        pictures.picture("nothing", [])
