"""Make the pictures of the README: ``uv run python -m tests.support.pictures SITE [NAME]``.

They show the site in the folder ``SITE``: all of them, or one. The map is more like the city if the
site is of TLC's own months.
"""

import sys
from pathlib import Path

from ingestion.settings import PROJECT_ROOT
from tests.support.browser import browser

FOLDER = PROJECT_ROOT / "docs" / "pictures"
CHOOSE = """
for (const [name, value] of [["service", "green"], ["zone", "75"]]) {
  const list = document.getElementById(name);
  list.value = value;
  list.dispatchEvent(new Event("change"));
}
"""
# picture: page, dark, what is done before, what is then there
PICTURES = {
    "zones": ("zones", False, CHOOSE, "#history svg"),
    "trust": ("trust", True, "", ".chart svg"),
}


def main(site: Path, names: list[str]) -> None:
    """Write the pictures of these names, or all."""
    FOLDER.mkdir(exist_ok=True)
    with browser() as page:
        for name in names or PICTURES:
            entry, dark, script, there = PICTURES[name]
            page.show_as(1180, 860, dark)
            page.open((site / f"{entry}.html").as_uri())
            page.evaluate(f"(() => {{ {script} }})()")
            page.until(f"document.querySelector({there!r})")
            page.screenshot(FOLDER / f"{name}.png", whole=False)
            print(FOLDER / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), sys.argv[2:])
