"""What the files of the dbt project say together, read without running dbt."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import yaml

from ingestion.settings import PROJECT_ROOT

DBT = PROJECT_ROOT / "dbt_project"


def described() -> Iterator[dict[str, Any]]:
    """Every model and seed as its YAML file describes it."""
    for folder in (DBT / "models", DBT / "seeds"):
        for path in sorted(folder.rglob("*.yml")):
            content = yaml.safe_load(path.read_text())
            yield from (*content.get("models", []), *content.get("seeds", []))


def test_a_description_that_columns_share_stands_once_as_a_docs_block() -> None:
    texts = Counter(
        column["description"] for node in described() for column in node.get("columns", [])
    )
    assert [text for text, times in texts.items() if times > 1 and "doc(" not in text] == []
