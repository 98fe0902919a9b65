"""The folder of a site: whole at every moment, and nobody else's."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from ingestion.errors import UsageError
from orchestration.site.data import write_data
from orchestration.site.folder import swapped
from tests.support.processes import wait_until

PAGES = ("index.html", "trust.html")


def build(out: Path, number: int) -> None:
    with swapped(out) as new:
        write_data(new.assets / "data" / "number.js", "number", number)
        for name in PAGES:
            new.add_page(name, f"{number} {new.assets_name}/data/number.js")


def test_a_reader_never_sees_half_of_it(tmp_path: Path) -> None:
    out, is_over = tmp_path / "site", Event()
    build(out, 0)

    seen = [0]

    def read() -> None:
        while not is_over.is_set():
            for name in PAGES:
                number, data = (out / name).read_text().split()
                assert (out / data).read_text() == f'medallion.data("number",{number});\n'
            seen[0] += 1

    with ThreadPoolExecutor() as pool:
        reader = pool.submit(read)
        for number in range(1, 20):
            build(out, number)
            # a reader who is two builds late has nothing to load from
            until = seen[0] + 2
            wait_until(lambda until=until: seen[0] >= until or reader.done(), pause=0.005)
        is_over.set()
        reader.result()
    assert {(out / name).read_text().split()[0] for name in PAGES} == {"19"}
    assert len([path for path in out.iterdir() if path.is_dir()]) == 2


def test_a_build_that_fails_leaves_the_site_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "site"
    build(out, 1)
    before = sorted(path.name for path in out.iterdir())

    def fail() -> None:
        with swapped(out) as new:
            new.add_page("index.html", "half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert sorted(path.name for path in out.iterdir()) == before
    assert (out / "index.html").read_text().startswith("1 ")


def test_a_page_that_is_no_more_goes(tmp_path: Path) -> None:
    out = tmp_path / "site"
    build(out, 1)
    with swapped(out) as new:
        new.add_page("index.html", "alone")
    assert [path.name for path in out.glob("*.html")] == ["index.html"]


@pytest.mark.parametrize("is_file", [True, False])
def test_what_is_not_a_site_is_left_alone(tmp_path: Path, is_file: bool) -> None:
    out = tmp_path / "other"
    thesis = out if is_file else out / "thesis.txt"
    thesis.parent.mkdir(exist_ok=True)
    thesis.write_text("years of work")
    with pytest.raises(UsageError, match="is a file" if is_file else "not of a site"):
        build(out, 1)
    assert thesis.read_text() == "years of work"


def test_no_value_ends_its_script(tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script>\u2028\u2029\\\"'"
    write_data(tmp_path / "x.js", "x", [hostile, None, 1.5])
    text = (tmp_path / "x.js").read_text()
    assert len(text.splitlines()) == 1
    (written,) = re.fullmatch(r'medallion\.data\("x",(.*)\);\n', text).groups()
    assert json.loads(written) == [hostile, None, 1.5]
