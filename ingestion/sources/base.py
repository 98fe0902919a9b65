"""What every source declares: the publisher, its datasets, their addresses and their columns.

A source is data. The code that lists its published files, and fetches one, is in the folder of the
source's kind. So a source knows neither the lake nor the warehouse.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import quote

from ingestion.addresses import local_path
from ingestion.progress import Progress
from ingestion.sources.read_types import ReadType, read_type_of, widest
from ingestion.words import on_one_line

# a document is any file: it has no rows, and keeps the ending of its name
FileFormat = Literal["parquet", "csv", "csv.gz", "jsonl", "jsonl.gz", "document"]
DOCUMENT: FileFormat = "document"
FORMATS: tuple[FileFormat, ...] = ("parquet", "csv", "csv.gz", "jsonl", "jsonl.gz")
# the formats of a month, the best first: if several are published, one is taken
TABLE_FORMATS: tuple[FileFormat, ...] = ("parquet", "csv", "csv.gz")
# of the addresses of files
SCHEMES = ("https", "http", "file", "s3", "gs", "az")
# how a source gives its items; each kind has a folder of this package
KindName = Literal["files", "rest_api", "sql_database", "documents"]
# the type of every column of a CSV file
TEXT = "text"
JSON = "json"  # the type of a column of objects or lists in a file of JSON lines

# Names of schemas and databases that the warehouse has, or that an engine keeps for itself: no
# source, and no DuckDB file, may be called so.
RESERVED = frozenset(
    {
        *("raw", "staging", "intermediate", "marts", "public"),
        *("information_schema", "pg_catalog", "main", "system", "temp"),
    }
)

# Takes the line and the fields of a row; returns whether the row holds anything. Raises
# ``UntrustedFileError`` for a row that has no meaning.
RowCheck = Callable[[int, Sequence[str]], bool]


@dataclass(frozen=True)
class Column:
    """One column, as it is published in one era."""

    name: str
    read_type: ReadType
    file_types: frozenset[str]
    required: bool


@dataclass(frozen=True)
class Era:
    """The columns that files carry from ``since`` until the next era begins."""

    since: date
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Derived:
    """What a dataset is read out of: each version of another dataset's files, in the lake."""

    dataset: str
    # the module that reads its rows: ``ingestion.lake.derived`` says what it defines
    reader: str


@dataclass(frozen=True)
class Dataset:
    """One publication of a source: one file for each month, or one file that is replaced."""

    name: str
    source: str  # the source's name, also the schema of its read views
    path: str  # relative to the source's address, with {month} as YYYY-MM
    file_format: FileFormat
    first_month: date | None
    eras: tuple[Era, ...]
    csv_eras: tuple[Era, ...] = ()  # for the months that were published as CSV
    last_csv_month: date | None = None  # nothing later was ever published as CSV
    view: str = ""  # the name of its read view; by default the dataset's name
    url: str = ""  # its own address, if not below the source's
    # what a web server is asked for in place of the path, relative to the source's address
    request: str = ""
    url_variable: str = ""  # the environment variable that overrides url
    # published name → read name, where that is not the published name in lower case
    read_names: Mapping[str, str] = field(default_factory=dict, hash=False)
    # a regular expression of wrong names, before the month, that mean this dataset
    alike: str = ""
    # makes the check of a file's rows from the columns' positions, by read name
    row_check: Callable[[Mapping[str, int]], RowCheck] | None = None
    # checks a document; raises ``UntrustedFileError`` for one out of which no rows can be read
    file_check: Callable[[Path], None] | None = None
    # what only the source's kind understands, as it was declared
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    has_items: bool = False  # whether it is several named files, each with its own versions
    derived: Derived | None = None  # what its rows are read out of: nobody publishes it
    from_files: bool = False  # whether its columns are those of its files, not declared

    def __post_init__(self) -> None:
        """Set the read view's name."""
        if not self.view:
            object.__setattr__(self, "view", self.name)

    @property
    def monthly(self) -> bool:
        """Whether there is one file for each month."""
        return self.first_month is not None

    @property
    def published_with(self) -> str:
        """The dataset that the source publishes: itself, or what it is read out of."""
        return self.derived.dataset if self.derived else self.name

    @property
    def has_rows(self) -> bool:
        """Whether its files are tables, which a warehouse can show."""
        return self.file_format != DOCUMENT

    @property
    def folder(self) -> str:
        """The folder of its files, relative to the source's address."""
        return self.path.rpartition("/")[0]

    def file_path(self, month: date | None, file_format: FileFormat | None = None) -> str:
        """The path of the file of ``month``, relative to the source's address, in one format."""
        path = self.path.replace("{month}", f"{month:%Y-%m}" if month else "")
        return path.removesuffix(self.file_format) + file_format if file_format else path

    def format_of(self, address: str) -> FileFormat:
        """The format of a file of this dataset, by its address or its path in the lake."""
        endings = (f for f in reversed(FORMATS) if address.endswith(f".{f}"))
        return next(endings, self.file_format) if self.monthly else self.file_format

    def formats(self, month: date) -> tuple[FileFormat, ...]:
        """The formats in which the source, or an archive of it, may have ``month``."""
        assert self.first_month, "only months are published in several formats"
        if "json" in self.file_format:
            return ("jsonl", "jsonl.gz")
        if self.file_format != "parquet":
            return tuple(f for f in TABLE_FORMATS if "csv" in f)
        last = self.last_csv_month or date.max
        as_csv = bool(self.csv_eras) and self.csv_eras[0].since <= month <= last
        return tuple(
            f for f in TABLE_FORMATS if (as_csv if "csv" in f else month >= self.first_month)
        )

    @property
    def first_edition(self) -> date | None:
        """The first month that was ever published, in any format."""
        if not self.monthly:
            return None
        return min(era.since for era in (*self.eras, *self.csv_eras))

    def era(self, month: date | None) -> Era:
        """The era of ``month``; the newest era for a dataset without months."""
        return _era_of(self.eras, month)

    def csv_era(self, month: date | None, names: Iterable[str]) -> Era:
        """The era of a CSV file of ``month`` with these columns.

        It is the era of the source's own CSV, or for a file made from the Parquet file, of that.
        """
        found = {self.read_name(name) for name in names}
        eras = [_era_of(eras, month) for eras in (self.csv_eras, self.eras) if eras]
        return max(eras, key=lambda era: len(found & {self.read_name(c.name) for c in era.columns}))

    def read_name(self, published_name: str) -> str:
        """The read view's name for a column, whatever its spelling, blanks or case in a file."""
        name = published_name.strip()
        return self.read_names.get(name, name).lower()

    @cached_property
    def read_schema(self) -> dict[str, ReadType]:
        """The columns of all eras: lower-case name → the widest type that any era has."""
        types: dict[str, list[ReadType]] = {}
        for column in (c for era in (*self.eras, *self.csv_eras) for c in era.columns):
            types.setdefault(self.read_name(column.name), []).append(column.read_type)
        return {name: widest(seen) for name, seen in types.items()}

    @property
    def declares_columns(self) -> bool:
        """Whether its source declares columns; if not, they are those of its files."""
        return any(era.columns for era in (*self.eras, *self.csv_eras))

    def with_columns(self, files: Iterable[Sequence[tuple[str, str]]]) -> "Dataset":
        """The dataset with the columns of these files, given as (name, type)."""
        found: dict[str, tuple[str, set[str]]] = {}
        for name, file_type in (column for columns in files for column in columns):
            found.setdefault(self.read_name(name), (name, set()))[1].add(file_type)
        columns = tuple(
            Column(name, widest(filter(None, map(read_type_of, types))), frozenset(types), False)
            for name, types in found.values()
        )
        return replace(self, eras=(replace(self.eras[0], columns=columns),), from_files=True)


def _era_of(eras: tuple[Era, ...], month: date | None) -> Era:
    started = [era for era in eras if month is None or era.since <= month]
    return started[-1] if started else eras[0]


@dataclass(frozen=True)
class Source:
    """A publisher of datasets, and its address."""

    name: str
    title: str  # its name in a sentence
    kind: KindName
    url: str  # without a slash at its end
    datasets: tuple[Dataset, ...]
    # the datasets whose newest months a run asks a server for, if no dataset is named
    usual: tuple[str, ...] = ()
    # whether a run without --dataset includes it
    enabled: bool = False
    # warn if no new month is published for this many days after a month's end
    overdue_days: int = 120
    # writes its generated sample into a folder, under its own paths; if true, as re-published
    sample: Callable[[Path, bool], None] | None = None
    # what only its kind understands, as it was declared
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def url_variable(self) -> str:
        """The environment variable that sets another address."""
        return f"MEDALLION_{self.name.upper()}_URL"

    @property
    def monthly(self) -> tuple[Dataset, ...]:
        """The datasets with one file for each month."""
        return tuple(d for d in self.datasets if d.monthly)


@dataclass(frozen=True)
class Publisher:
    """A source, with the addresses from the settings."""

    source: Source
    url: str
    urls: Mapping[str, str] = field(default_factory=dict)  # by dataset, if set
    # bytes a second of a download from a web server that is not given up as too slow
    least_rate: int = 0

    @property
    def folder(self) -> Path | None:
        """Its folder, if the source is a folder."""
        return local_path(self.url)

    def address(self, dataset: Dataset, path: str = "") -> str:
        """The address of the file at ``path``, or of a dataset's only file.

        A dataset with its own address is looked for there, unless the source is a folder.
        """
        if dataset.name in self.urls:
            return self.urls[dataset.name]
        if self.folder is not None:
            return f"{self.url}/{quote(path or dataset.path)}"
        asked = dataset.request if self.url.startswith("http") else ""
        return dataset.url or f"{self.url}/{asked or path or dataset.path}"


@dataclass(frozen=True)
class PublishedFile:
    """One file, as its source publishes it now."""

    dataset: str
    month: date | None
    url: str
    etag: str | None
    last_modified: datetime | None
    bytes: int | None
    error: str | None = None  # the error of asking the source about it
    is_missing: bool = False  # or that it should exist and does not: see ``error``
    file_format: FileFormat = "parquet"
    item: str | None = None  # its name within a dataset of several files

    @property
    def name(self) -> str:
        """Its name in messages: the dataset, and the month as 2024-01, or the item."""
        return name_of(*self.key)

    @property
    def key(self) -> tuple[str, date | None, str | None]:
        """What tells it from other published files: dataset, month and item."""
        return self.dataset, self.month, self.item


def name_of(dataset: str, month: date | None, item: str | None = None) -> str:
    """What people call a published file: the dataset, and the month as 2024-01, or the item."""
    if item is not None:
        return f"{dataset} {on_one_line(item)}"
    return f"{dataset} {month:%Y-%m}" if month else dataset


@dataclass(frozen=True)
class Fetched:
    """A complete download: the hash of its bytes, and the publisher's fingerprint of them."""

    path: Path
    sha256: str
    bytes: int
    etag: str | None
    last_modified: datetime | None


class Kind(Protocol):
    """What the package of a kind of source defines."""

    def discover(
        self,
        publisher: Publisher,
        datasets: Iterable[str] = (),
        start: date | None = None,
        end: date | None = None,
        progress: Progress | None = None,
        gave_months: Callable[[str], bool] = ...,
    ) -> list[PublishedFile]:
        """The items that a run should land, and with an ``error`` those expected but missing.

        ``gave_months`` tells whether months of an address were landed before. Raises
        ``MedallionError`` where the source has none of the items, or none any more.
        """

    def fetch(
        self,
        publisher: Publisher,
        file: PublishedFile,
        spool: Path,
        on_bytes: Callable[[int], None] = ...,
    ) -> Fetched | None:
        """Write the whole item to a file in the folder ``spool``, in bounded memory.

        The file is called by ``spool.part_path``. Returns none where the source has nothing of a
        month that is not due yet. Raises ``FetchError``, in one line that names the item, for
        every error of the source.
        """
