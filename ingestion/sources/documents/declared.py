"""A ``source.toml`` of the kind ``documents``.

::

    kind = "documents"
    title = "The harbour's papers"
    url = "https://harbour.example/papers"    # or a folder, file:///…, or a bucket

    [datasets.harbour_papers]
    files = ["tide tables 2024.pdf", "rules.pdf"]    # of a folder or bucket also: pattern = "*.pdf"

    [datasets.harbour_papers.addresses]              # those that are published elsewhere
    "map.zip" = "https://maps.example/harbour.zip"

Each dataset of documents has a second one, ``harbour_papers_pages``: their text, page by page. It
is made from the landed documents; no publisher has it.
"""

from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from ingestion.sources.base import DOCUMENT, Column, Dataset, Derived, Era, Source
from ingestion.sources.declaration import DatasetName, Declared, DeclaredSource
from ingestion.sources.documents.pages import PAGES, PAGES_COLUMNS, pages_of
from ingestion.sources.files.declared import published_at


class DocumentsDataset(Declared):
    """Documents, named one by one or by a pattern."""

    files: list[str] = Field(default_factory=list)
    # of those that are published elsewhere: name = address
    addresses: dict[str, str] = Field(default_factory=dict)
    pattern: str = ""

    @field_validator("addresses")
    @classmethod
    def _known_schemes(cls, addresses: dict[str, str]) -> dict[str, str]:
        return {name: published_at(url) for name, url in addresses.items()}

    @field_validator("files")
    @classmethod
    def _below(cls, files: list[str]) -> list[str]:
        for name in files:
            path = PurePosixPath(name)
            if not name or path.is_absolute() or ".." in path.parts:
                raise ValueError(f"{name!r}: it is below the source's address: no / first, no ..")
        if len(set(files)) < len(files):
            raise ValueError("one of them is named twice")
        return files

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.files or self.addresses) == bool(self.pattern):
            raise ValueError("it has files and addresses, or pattern: one of the two")
        return self


class DocumentsSource(DeclaredSource):
    """A ``source.toml`` of this kind."""

    kind: Literal["documents"] = "documents"
    url: str
    # shorter than others: the names of tables have what stands for a document in them
    datasets: dict[Annotated[DatasetName, Field(max_length=32)], DocumentsDataset] = Field(
        min_length=1
    )

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: str) -> str:
        return published_at(url)

    @model_validator(mode="after")
    def _can_be_listed(self) -> Self:
        if self.url.startswith("http") and any(d.pattern for d in self.datasets.values()):
            raise ValueError("a web server cannot be listed: name the files of each dataset")
        return self

    def named(self, name: str) -> Source:
        """The source of this name, with a dataset of pages for each of documents."""
        datasets = []
        for dataset, declared in self.datasets.items():
            datasets.append(
                Dataset(
                    name=dataset,
                    source=name,
                    path="",
                    file_format=DOCUMENT,
                    first_month=None,
                    eras=(Era(PAGES, ()),),
                    has_items=True,
                    options=declared.model_dump(),
                )
            )
            columns = (Column(n, t, frozenset(f), n == "page") for n, t, f in PAGES_COLUMNS)
            datasets.append(
                Dataset(
                    name=pages_of(dataset),
                    source=name,
                    path="",
                    file_format="parquet",
                    first_month=None,
                    eras=(Era(PAGES, tuple(columns)),),
                    has_items=True,
                    derived=Derived(dataset, "ingestion.documents.pages_file"),
                )
            )
        return self.source(name, self.url, tuple(datasets))
