"""What the pages and the justfile name is there: files, links, commands and their options."""

import importlib.util
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from ingestion.settings import PROJECT_ROOT as ROOT
from orchestration.cli import app

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("dbt_project/**/*.md")])
COMMANDS = [ROOT / "justfile", *ROOT.glob(".github/**/*.y*ml")]
FOLDERS = r"(?:ingestion|orchestration|dbt_project|tests|docs|deploy|examples|\.github|\.ci)"
A_PATH = re.compile(rf"(?<![\w/.-]){FOLDERS}/[\w./*{{}},-]*[\w*/-]")
# NAME, AREA and the like stand for what the reader chooses
CHOSEN = re.compile(r"(?<![A-Z])[A-Z]{4,}(?!\.md)|[{}]")
BY_UV = r"uv run (?:--(?:extra|group|with) \S+ |--\S+ )*"
A_VERB = re.compile(rf"(?:^|&& |{BY_UV}|bin/)medallion (.+)")
A_TOOL = re.compile(rf"{BY_UV}(.+)")


def code(page: Path) -> Iterator[str]:
    """The lines of code of a page, and the code within its text."""
    fenced = page.suffix != ".md"
    for line in page.read_text().splitlines():
        if line.strip().startswith("```"):
            fenced = not fenced
        elif fenced and "`" not in line:
            yield line.partition(" #")[0].strip()
        else:
            yield from re.findall(r"`([^`]+)`", line)


def words(command: str) -> list[str]:
    """The words of a command up to what a shell would take for another."""
    found = re.split(r" (?:&&|\||;) ", command)[0].replace("{{", "").replace("}}", "")
    try:
        return shlex.split(found)
    except ValueError:  # a quote that the next line closes
        return found.split()


def exists(path: str) -> bool:
    return any(ROOT.glob(path.rstrip("/")))


def test_every_path_that_a_page_names_is_there() -> None:
    paths = [
        (page.name, path)
        for page in PAGES
        for line in code(page)
        for path in A_PATH.findall(line)
        if not CHOSEN.search(path)
    ]
    assert len(paths) > 50
    assert [(page, path) for page, path in paths if not exists(path)] == []


def test_every_link_between_pages_leads_there() -> None:
    broken = []
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]*))?\)", page.read_text()):
            linked = page.parent / target if target else page
            text = linked.read_text() if anchor and linked.is_file() else ""
            titles = re.findall(r"^#+ (.+)$", text, re.M)
            anchors = {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}
            if not linked.exists() or (anchor and anchor not in anchors):
                broken.append((page.name, f"{target}#{anchor}"))
    assert broken == []


def test_every_medallion_command_is_one_and_has_these_options() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    used = [
        (page.name, words(found[1]))
        for page in [*PAGES, *COMMANDS]
        for line in code(page)
        if (found := A_VERB.search(line))
    ]
    assert len(used) > 50
    for page, (verb, *rest) in used:
        if verb in ("--help", "--version", "…"):
            continue
        assert verb in commands, (page, verb)
        known = {o for p in commands[verb].params for o in (*p.opts, *p.secondary_opts)}
        options = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        assert options <= known, (page, verb)


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "README.md", "justfile"])
def test_every_tool_that_uv_runs_is_installed(name: str, pytestconfig: pytest.Config) -> None:
    used = [words(found[1]) for line in code(ROOT / name) if (found := A_TOOL.search(line))]
    assert used
    for tool, *arguments in used:
        assert shutil.which(tool, path=str(Path(sys.executable).parent)), tool
        if tool == "python" and arguments[0] == "-m":
            assert importlib.util.find_spec(arguments[1]), arguments
        if tool == "pytest":
            assert all(exists(path) for path in arguments if "/" in path), arguments
            for option in (word for word in arguments if word.startswith("--")):
                pytestconfig.getoption(option)  # raises where there is none
