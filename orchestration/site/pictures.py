"""The site's pictures with their rows inside, as Altair's charts: for notebooks.

The rows are those of the query of the same figure, which ``sql_of`` gives.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from importlib.util import find_spec
from typing import Any

from ingestion.errors import MissingExtraError, UsageError
from orchestration.site import charts
from orchestration.site.data import plain
from orchestration.site.figures import Figure, figures, query
from orchestration.site.zones import shapes

Row = Mapping[str, Any]
# the colours of the site in light; a notebook may set others
STYLE: dict[str, Any] = {
    "view": {"stroke": None},
    "title": {"anchor": "start"},
    "axis": {"gridColor": "#e4e3df", "titleFontWeight": "normal"},
    "axisX": {"grid": False},
    "legend": {"symbolType": "circle"},
    "range": {
        "category": ["#3b7ddd", "#d69e00", "#2f9e5b", "#c2577a", "#9566c7", "#6f7f92", "#d9703c"],
        "ordinal": ["#5aa37c", "#d8a437", "#c4463c", "#c9ccd1", "#e4e3df"],
    },
}
MAP = {"edge": "#ffffff", "empty": "#eeede9", "ink": "#1d2733", "chosen": -1}
LATE = 0.6  # of the months: from there on, the words of an event stand on the left of its line


def names() -> list[str]:
    """The pictures that ``picture`` makes."""
    return [figure.name for figure in _all().values() if figure.chart]


def sql_of(name: str) -> str:
    """The query of a picture, on the marts."""
    return query(_named(name).query)


def picture(name: str, rows: Iterable[Row]) -> Any:
    """A picture of the site, with the rows of its query; an ``altair.Chart`` or ``LayerChart``.

    Raises ``UsageError`` where there is none of this name, and ``MissingExtraError`` where Altair
    is not installed.
    """
    _check_installed()
    figure = _named(name)
    made = dict(figure.chart)
    spec = getattr(charts, made.pop("kind"))(**made)
    data = [_record(row) for row in rows]
    events = _events(data) if made.get("events") else []
    if "layer" in spec and not events:
        spec["layer"] = [x for x in spec["layer"] if x.get("data", {}).get("name") != "events"]
    _name_only_what_is_there(spec, {row.get("label") for row in data})
    # Vega-Lite fits no width where the height follows from steps, so the height is counted here
    if isinstance(spec.get("height"), dict):
        field = spec["encoding"]["y"]["field"]
        spec["height"] = spec["height"]["step"] * len({row[field] for row in data})
    return _chart({**spec, "title": figure.title, "datasets": {"rows": data, "events": events}})


def zone_map(zones: Iterable[Row], values: Mapping[int, float], title: str = "") -> Any:
    """The map of the zones, coloured by these values; zones without one stay empty.

    ``zones`` are the rows of ``marts.dim_zones``.
    """
    _check_installed()
    features = shapes(dict(row) for row in zones)["features"]
    for feature in features:
        own = feature["properties"]
        value = values.get(own["id"])
        own |= {"value": value, "shown": "" if value is None else f"{value:,.0f}"}
    spec = charts.zone_map()
    spec["params"] = [{"name": p["name"], "value": MAP[p["name"]]} for p in spec["params"]]
    return _chart({**spec, "title": title, "datasets": {"zones": features}})


def _all() -> dict[str, Figure]:
    return {figure.name: figure for page in figures().values() for figure in page}


def _check_installed() -> None:
    if find_spec("altair") is None:
        raise MissingExtraError(
            "The pictures need altair, of the extra notebook: uv sync --extra notebook, or"
            " pip install 'medallion[notebook]'."
        )


def _named(name: str) -> Figure:
    found = _all().get(name)
    if found is None or not found.chart:
        raise UsageError(f"There is no picture {name}; there are {', '.join(names())}.")
    return found


def _chart(spec: dict[str, Any]) -> Any:
    import altair

    chart = altair.Chart.from_dict(spec)
    return chart.configure(**STYLE)


def _record(row: Row) -> dict[str, Any]:
    """A row with the words that the pictures show, as the site's script adds them."""
    made = {name: plain(value) for name, value in row.items()}
    service = made.get("service") or made.get("dataset")
    if service:
        made["label"] = charts.theme()["services"].get(service, {}).get("label", service)
    for name in ("month", "day"):
        if made.get(name):
            made[f"{name}_name"] = made[name][:7]
            made[name] = _milliseconds(made[name])
    if made.get("invalid_reason"):
        made["reason"] = made["invalid_reason"].replace("_", " ")
    if made.get("measure"):
        made["row"] = f"{made['label']}: {made['measure'].replace('_', ' ')}"
    if made.get("year") and made.get("part"):
        made["service_year"] = f"{made['label']} {made['year']}"
    return made


def _milliseconds(day: str) -> int:
    begin = date.fromisoformat(day[:10])
    return int(datetime(begin.year, begin.month, begin.day, tzinfo=UTC).timestamp() * 1000)


def _events(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The marks of the months that are shown."""
    months = [row["month"] for row in rows if row.get("month")]
    if not months:
        return []
    first, last = min(months), max(months)
    known = [(_milliseconds(f"{e['month']}-01"), e["label"]) for e in charts.theme()["events"]]
    shown = [(month, label) for month, label in known if first <= month <= last]
    return [
        {
            "month": month,
            "label": label,
            "place": place,
            "late": (month - first) / ((last - first) or 1) > LATE,
        }
        for place, (month, label) in enumerate(shown)
    ]


def _name_only_what_is_there(spec: dict[str, Any], labels: set[Any]) -> None:
    """Leave services without rows out of the legend."""
    for part in (spec, *spec.get("layer", ())):
        colour = part.get("encoding", {}).get("color", {})
        scale = colour.get("scale") if colour.get("field") == "label" else None
        if scale and "domain" in scale:
            pairs = zip(scale["domain"], scale["range"], strict=True)
            kept = [(name, shade) for name, shade in pairs if name in labels]
            scale |= {"domain": [n for n, _ in kept], "range": [s for _, s in kept]}
