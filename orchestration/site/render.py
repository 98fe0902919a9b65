"""Render the templates of the pages."""

import json
from functools import cache
from importlib.metadata import version
from typing import Any


def render(template: str, **values: Any) -> str:
    """A page: the template with these values, and the version of the project."""
    page: str = _environment().get_template(template).render(version=version("medallion"), **values)
    return page


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    made = Environment(
        loader=PackageLoader(__package__), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    # in a script element only its own end tag could end it
    made.filters["json"] = lambda value: Markup(  # noqa: S704
        json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")
    )
    made.filters["number"] = lambda value: f"{value:,}"
    return made
