"""The rooms of the house: what may stand where, and that no import goes in a circle."""

import re
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
OF_ONE_SOURCE = re.compile(r"\b(tlc|yellow|green|fhv|fhvhv)\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def graph() -> "grimp.ImportGraph":
    return grimp.build_graph("ingestion", "orchestration")


def test_no_module_imports_itself_by_way_of_others(graph: "grimp.ImportGraph") -> None:
    circles = [
        chain
        for module in sorted(graph.modules)
        for imported in sorted(graph.find_modules_directly_imported_by(module))
        if (chain := graph.find_shortest_chain(importer=imported, imported=module))
    ]
    assert circles == []


def test_only_its_own_folder_speaks_of_a_source() -> None:
    spoken = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for top in ("ingestion", "orchestration")
        for path in sorted((ROOT / top).rglob("*.py"))
        if "ingestion/sources/tlc/" not in path.as_posix()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if OF_ONE_SOURCE.search(line)
    ]
    assert spoken == []
