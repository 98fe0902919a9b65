"""The charts as Vega-Lite specifications, made and checked by Altair.

A specification has no data, and not the colours of the page. The page's script adds both, for light
or for dark.
"""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

HEIGHT = 280
STATUSES = (
    "reconciled",
    "known_divergence",
    "out_of_tolerance",
    "not_assessed",
    "not_reported",
)

# the kinds of nodes in the lineage, from the files to their readers, and their colours
KINDS = {
    "source": "#6f7f92",
    "seed": "#9566c7",
    "staging": "#2f9e5b",
    "intermediate": "#3b7ddd",
    "marts": "#d69e00",
    "exposure": "#c2577a",
}


@cache
def theme() -> dict[str, Any]:
    """Names and colours of the services, and the events that charts mark."""
    return tomllib.loads(files(__package__).joinpath("theme.toml").read_text("utf-8"))


def _altair() -> Any:
    import altair  # takes a second

    return altair


def _services(alt: Any) -> Any:
    """The colours of the services, by the names that people know."""
    known = theme()["services"].values()
    return alt.Color(
        "label:N",
        title=None,
        scale=alt.Scale(domain=[s["label"] for s in known], range=[s["colour"] for s in known]),
        legend=alt.Legend(orient="top"),
    )


def _by(alt: Any, by: str) -> Any:
    if by == "service":
        return _services(alt)
    return alt.Color(f"{by}:N", title=None, legend=alt.Legend(orient="top"))


def _months(alt: Any) -> Any:
    return alt.X("utcyearmonth(month):T", title=None, axis=alt.Axis(labelOverlap=True))


def _tooltip(alt: Any, by: str, measure: str, title: str, form: str) -> list[Any]:
    name = "label" if by == "service" else by
    return [
        alt.Tooltip(f"{name}:N", title=by),
        alt.Tooltip("utcyearmonth(month):T", title="month", format="%Y-%m"),
        alt.Tooltip(f"{measure}:Q", title=title, format=form),
    ]


def _spec(chart: Any, height: int | None = HEIGHT) -> dict[str, Any]:
    if height is not None:
        chart = chart.properties(width="container", height=height)
    spec: dict[str, Any] = chart.to_dict()
    spec.pop("config", None)  # the page's script has one config for light and one for dark
    return spec


def _rows(alt: Any) -> Any:
    return alt.NamedData(name="rows")


def lines(measure: str, title: str, by: str, form: str, events: bool = False) -> dict[str, Any]:
    """A line for each service or company over the months, with the marks of events."""
    alt = _altair()
    base = alt.Chart(_rows(alt)).transform_filter(f"isValid(datum.{measure})")
    encoded = {
        "x": _months(alt),
        "y": alt.Y(f"{measure}:Q", title=title, axis=alt.Axis(format=_short(form))),
        "color": _by(alt, by),
        "tooltip": _tooltip(alt, by, measure, title, form),
    }
    layers = [
        base.mark_line(strokeWidth=2.2, interpolate="monotone").encode(
            **encoded, detail="stretch:N"
        ),
        base.mark_point(filled=True, size=28, opacity=1).encode(**encoded),
    ]
    if events:
        layers = [*_events(alt), *layers]
    return _spec(alt.layer(*layers))


def _short(form: str) -> str:
    """The format of an axis: thousands as k, millions as M."""
    if form.endswith("%"):
        return ".0%"
    return "$~s" if form.startswith("$") else "~s"


def _events(alt: Any) -> list[Any]:
    """A dashed line and its words at each event."""
    marked = alt.Chart(alt.NamedData(name="events")).encode(x=_months(alt))
    return [
        marked.mark_rule(strokeDash=[4, 4], opacity=0.6),
        marked.mark_text(
            align={"expr": "datum.late ? 'right' : 'left'"},
            dx={"expr": "datum.late ? -5 : 5"},
            baseline="top",
            y={"expr": "2 + 14 * datum.place"},
            fontSize=11,
            opacity=0.85,
        ).encode(text="label:N"),
    ]


def days() -> dict[str, Any]:
    """A thin line for each service over the days."""
    alt = _altair()
    chart = (
        alt.Chart(_rows(alt))
        .mark_line(strokeWidth=1.4)
        .encode(
            x=alt.X("utcyearmonthdate(day):T", title=None, axis=alt.Axis(labelOverlap=True)),
            y=alt.Y("trips:Q", title="trips", axis=alt.Axis(format="~s")),
            color=_services(alt),
            detail="month:N",
            tooltip=[
                alt.Tooltip("label:N", title="service"),
                alt.Tooltip("utcyearmonthdate(day):T", title="day", format="%a %Y-%m-%d"),
                alt.Tooltip("trips:Q", format=",.0f"),
            ],
        )
    )
    return _spec(chart)


def stacked(measure: str, title: str, form: str) -> dict[str, Any]:
    """Bars by month, a part for each service."""
    alt = _altair()
    chart = (
        alt.Chart(_rows(alt))
        .mark_bar()
        .encode(
            x=_months(alt),
            y=alt.Y(f"{measure}:Q", title=title, axis=alt.Axis(format=_short(form))),
            color=_services(alt),
            tooltip=_tooltip(alt, "service", measure, title, form),
        )
    )
    return _spec(chart)


def parts() -> dict[str, Any]:
    """One bar a service and year, made of the parts of the totals."""
    alt = _altair()
    chart = (
        alt.Chart(_rows(alt))
        .mark_bar()
        .encode(
            y=alt.Y("service_year:N", title=None),
            x=alt.X(
                "usd:Q", stack="normalize", title=None, axis=alt.Axis(format=".0%", tickCount=5)
            ),
            color=alt.Color(
                "part:N",
                title=None,
                sort=alt.EncodingSortField("place", op="min"),
                legend=alt.Legend(orient="top"),
            ),
            order="place:O",
            tooltip=[
                alt.Tooltip("label:N", title="service"),
                "year:O",
                "part:N",
                alt.Tooltip("usd:Q", title="USD", format="$,.0f"),
                alt.Tooltip("share:Q", title="share", format=".1%"),
            ],
        )
        .properties(width="container", height=alt.Step(20))
    )
    return _spec(chart, height=None)


def inside_and_outside() -> dict[str, Any]:
    """Two lines a service: solid in the congestion relief zone, dashed outside."""
    alt = _altair()
    chart = (
        alt.Chart(_rows(alt))
        .transform_filter("isValid(datum.miles_per_hour)")
        .transform_calculate(where="datum.is_cbd ? 'in the zone' : 'outside'")
        .mark_line(strokeWidth=2.2, point={"filled": True, "size": 28})
        .encode(
            x=_months(alt),
            y=alt.Y("miles_per_hour:Q", title="miles an hour", scale=alt.Scale(zero=False)),
            color=_services(alt),
            detail="stretch:N",
            strokeDash=alt.StrokeDash(
                "where:N",
                title=None,
                sort=["in the zone", "outside"],
                legend=alt.Legend(orient="bottom"),
            ),
            tooltip=[
                alt.Tooltip("label:N", title="service"),
                "where:N",
                alt.Tooltip("utcyearmonth(month):T", title="month", format="%Y-%m"),
                alt.Tooltip("miles_per_hour:Q", title="miles an hour", format=".1f"),
                alt.Tooltip("trips:Q", format=",.0f"),
            ],
        )
    )
    return _spec(chart)


def heat(row: str) -> dict[str, Any]:
    """A cell for each month: the colour is the status, the tooltip has the reason."""
    alt = _altair()
    name = "label" if row == "service" else "row"
    chart = (
        alt.Chart(_rows(alt))
        .mark_rect(stroke="#8884", strokeWidth=0.5)
        .encode(
            x=alt.X("month_name:O", title=None, axis=alt.Axis(labelOverlap=True, labelAngle=-45)),
            y=alt.Y(f"{name}:N", title=None),
            color=alt.Color(
                "status:N",
                title=None,
                scale=alt.Scale(domain=list(STATUSES), range="ordinal"),
                legend=alt.Legend(orient="top", labelExpr="replace(datum.label, /_/g, ' ')"),
            ),
            tooltip=[
                alt.Tooltip(f"{name}:N", title="what"),
                alt.Tooltip("month_name:N", title="month"),
                alt.Tooltip("status:N"),
                alt.Tooltip("diff_pct:Q", title="difference %", format="+.3f"),
                alt.Tooltip("tolerance_pct:Q", title="tolerance %"),
                alt.Tooltip("known_divergence:N", title="known divergence"),
            ],
        )
        .properties(width="container", height=alt.Step(26))
    )
    return _spec(chart, height=None)


def flagged() -> dict[str, Any]:
    """A bar for each rule, a part for each service."""
    alt = _altair()
    chart = (
        alt.Chart(_rows(alt))
        .mark_bar()
        .encode(
            y=alt.Y("reason:N", title=None, sort=alt.EncodingSortField("rule", op="min")),
            x=alt.X("invalid_rows:Q", title="rows", axis=alt.Axis(format="~s")),
            color=_services(alt),
            tooltip=[
                alt.Tooltip("reason:N", title="rule"),
                alt.Tooltip("label:N", title="service"),
                alt.Tooltip("invalid_rows:Q", title="rows", format=",.0f"),
                alt.Tooltip("meaning:N"),
            ],
        )
        .properties(width="container", height=alt.Step(20))
    )
    return _spec(chart, height=None)


def zone_map() -> dict[str, Any]:
    """The zones, coloured by the measure that is chosen."""
    alt = _altair()
    chart = (
        alt.Chart(alt.NamedData(name="zones"))
        .mark_geoshape(
            stroke={"expr": "datum.properties.id === chosen ? ink : edge"},
            strokeWidth={"expr": "datum.properties.id === chosen ? 2.5 : 0.6"},
            cursor="pointer",
            invalid="show",
        )
        .encode(
            color=alt.condition(
                "isValid(datum.properties.value)",
                alt.Color(
                    "properties.value:Q",
                    title=None,
                    scale=alt.Scale(type="sqrt"),
                    legend=alt.Legend(orient="bottom", gradientLength=200, format="~s"),
                ),
                alt.value({"expr": "empty"}),
            ),
            tooltip=[
                alt.Tooltip("properties.zone:N", title="zone"),
                alt.Tooltip("properties.borough:N", title="borough"),
                alt.Tooltip("properties.shown:N", title="figure"),
            ],
        )
        .project(type="mercator")
    )
    spec = _spec(chart, height=None)
    given = [{"name": name, "value": None} for name in ("edge", "empty", "ink", "chosen")]
    return spec | {"width": "container", "height": 560, "params": given}


def zone_history() -> dict[str, Any]:
    """One zone over the months."""
    alt = _altair()
    chart = (
        alt.Chart(_rows(alt))
        .mark_line(strokeWidth=2, point={"filled": True, "size": 20})
        .encode(
            x=_months(alt),
            y=alt.Y("value:Q", title=None, axis=alt.Axis(format="~s")),
            color=_services(alt),
            detail="stretch:N",
            tooltip=[
                alt.Tooltip("label:N", title="service"),
                alt.Tooltip("utcyearmonth(month):T", title="month", format="%Y-%m"),
                alt.Tooltip("value:Q", format=",.4~g"),
            ],
        )
    )
    return _spec(chart, 180)


def week() -> dict[str, Any]:
    """The hours of the week as a heat map: days down, hours across."""
    alt = _altair()
    names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    chart = (
        alt.Chart(_rows(alt))
        .mark_rect(cursor="pointer")
        .encode(
            x=alt.X(
                "hour:O",
                title="hour of the day",
                axis=alt.Axis(labelAngle=0, values=list(range(0, 24, 3))),
            ),
            y=alt.Y("day:O", title=None, sort=names),
            color=alt.Color("value:Q", title=None, legend=None, scale=alt.Scale(type="sqrt")),
            tooltip=[
                "day:O",
                alt.Tooltip("hour:O", title="hour"),
                alt.Tooltip("value:Q", title="trips an hour", format=",.1f"),
            ],
        )
    )
    return _spec(chart, 170)


def graph() -> dict[str, Any]:
    """Nodes in one column for each step, and lines from each node to those made from it."""
    alt = _altair()
    x, y = alt.X("x:Q", axis=None), alt.Y("y:Q", axis=None)  # the script sets the domains
    links = (
        alt.Chart(alt.NamedData(name="links"))
        .mark_line(interpolate="basis", opacity=0.5, strokeWidth=1.2, stroke={"expr": "soft"})
        .encode(x=x, y=y, detail="link:N", order="x:Q")
    )
    nodes = alt.Chart(alt.NamedData(name="nodes")).encode(x=x, y=y)
    halo = {"stroke": {"expr": "card"}, "strokeWidth": 4, "strokeJoin": "round"}
    text = {"align": "left", "dx": 9, "limit": 205, "cursor": "pointer"}
    lines = (
        ("short:N", {"color": {"expr": "ink"}, "fontSize": 12, "dy": -6}),
        ("within:N", {"color": {"expr": "soft"}, "fontSize": 10.5, "dy": 7}),
    )
    layers = [
        links,
        nodes.mark_point(filled=True, size=55, opacity=1, cursor="pointer").encode(
            color=alt.Color(
                "kind:N",
                title=None,
                scale=alt.Scale(domain=list(KINDS), range=list(KINDS.values())),
                legend=alt.Legend(orient="top"),
            ),
            tooltip=[
                alt.Tooltip("name:N"),
                alt.Tooltip("kind:N"),
                alt.Tooltip("description:N"),
            ],
        ),
        *(
            nodes.mark_text(**text, **own, **below).encode(text=field)
            for field, own in lines
            for below in (halo, {})  # so that links do not cross the words
        ),
    ]
    spec = _spec(alt.layer(*layers), height=None)
    given = ("soft", "ink", "card")
    return spec | {"params": [{"name": name, "value": None} for name in given]}
