"""Checks each page of an answer, and follows dlt's paginator to the next one."""

from collections.abc import Callable
from typing import Any, Self

from dlt.common import jsonpath
from dlt.sources.helpers.rest_client.detector import PaginatorFactory, find_response_page_data
from dlt.sources.helpers.rest_client.paginators import (
    BasePaginator,
    OffsetPaginator,
    RangePaginator,
)
from requests import Request, Response

from ingestion.errors import FetchError


class CheckedPages(BasePaginator):
    """A paginator that is another one, and raises ``FetchError`` for a page that cannot be right.

    Without another one, dlt detects it by the first page.
    """

    def __init__(
        self,
        paginator: BasePaginator | None,
        selector: str | None,
        max_pages: int,
        on_bytes: Callable[[int], None],
    ):
        super().__init__()
        self._paginator = paginator
        self._selector = selector
        self._max_pages = max_pages
        self._on_bytes = on_bytes
        self._pages = self._rows = 0
        self._last: list[Any] = []
        self._total: int | None = None

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        """Return itself: dlt copies a configuration to check it, and a callback has no copy."""
        return self

    @property
    def has_next_page(self) -> bool:
        """Whether the paginator has one."""
        return self._paginator is None or self._paginator.has_next_page

    def init_request(self, request: Request) -> None:
        """Prepare the request of the first page."""
        if self._paginator:
            self._paginator.init_request(request)

    def update_request(self, request: Request) -> None:
        """Prepare the request of the next page."""
        if self._paginator:
            self._paginator.update_request(request)

    def update_state(self, response: Response, data: list[Any] | None = None) -> None:
        """Check the page."""
        rows = data or []
        self._on_bytes(len(response.content))
        self._let_no_other_schema_pass(response.json(), rows)
        if self._paginator is None:
            self._paginator, _ = PaginatorFactory().create_paginator(response)
        self._paginator.update_state(response, data)
        self._let_no_other_total_pass(response.json())
        self._pages += 1
        self._rows += len(rows)
        if rows and rows == self._last:
            raise FetchError(
                f"page {self._pages:,} repeats the rows of the page before it. Check"
                " endpoint.paginator: the API may not know the parameter that asks for a page."
            )
        if self._pages >= self._max_pages and self.has_next_page:
            raise FetchError(
                f"it has more than {self._max_pages:,} pages. If that is right, set max_pages of"
                " the dataset, or ask for larger pages; if not, check endpoint.paginator."
            )
        self._last = rows

    def let_no_cut_pass(self) -> None:
        """After the last page, compare the number of rows with the one that the API stated."""
        paginator = self._paginator
        if not isinstance(paginator, OffsetPaginator) or paginator.maximum_value is not None:
            return
        if self._total is not None and self._rows != self._total - paginator.initial_value:
            raise FetchError(
                f"{self._rows:,} rows came of {self._total:,} that the API stated: it changed while"
                " it was read, or its pages are not as large as endpoint.paginator says. Run again."
            )

    def _let_no_other_schema_pass(self, answer: Any, rows: list[Any]) -> None:
        if self._selector is None:
            path, found = find_response_page_data(answer)
            if not isinstance(found, list):
                raise FetchError(
                    f"its rows are not found in the answer, which has {_keys(answer)}. Name their"
                    ' place as endpoint.data_selector; "$" is the whole answer, as one row.'
                )
            self._selector = ".".join(path)
        # a list without items has nothing at results[*].row, and is right
        place = self._selector.partition("[*]")[0].rstrip(".") or "$"
        if not rows and not jsonpath.find_values(place, answer):
            raise FetchError(
                f"page {self._pages + 1:,} has nothing at {self._selector}, where"
                f" endpoint.data_selector looks for rows: it has {_keys(answer)}. The API has"
                " changed, or it reports an error."
            )

    def _let_no_other_total_pass(self, answer: Any) -> None:
        paginator = self._paginator
        if not isinstance(paginator, RangePaginator) or paginator.total_path is None:
            return
        stated = jsonpath.find_values(paginator.total_path, answer)
        if not stated:  # on an empty page, dlt does not ask for it
            return
        total = int(stated[0])
        if self._total not in (None, total):
            raise FetchError(
                f"the total that the API states went from {self._total:,} to {total:,}: it changed"
                " while it was read. Run again."
            )
        self._total = total


def _keys(answer: Any) -> str:
    """The keys of an answer, for a message."""
    if not isinstance(answer, dict):
        return f"a {type(answer).__name__}"
    keys = [str(key)[:40] for key in answer]
    return f"{', '.join(keys[:8])}{', …' if len(keys) > 8 else ''}" if keys else "no keys"
