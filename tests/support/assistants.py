"""Ask the interface for assistants with the protocol's own client."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from ingestion.settings import PROJECT_ROOT
from tests.support.processes import PATIENCE_SECONDS

Talk = Callable[[Client], Awaitable[Any]]


def talk(to: Any, work: Talk) -> Any:
    """What ``work`` gives with a client of this server, process or address."""

    async def run() -> Any:
        async with Client(to) as client:
            return await work(client)

    return asyncio.run(run())


def over_stdio(env: Mapping[str, str], *arguments: str) -> StdioServerParameters:
    """The process of a server, as a client starts it."""
    command = ["-m", "orchestration.cli", "mcp", *arguments]
    return StdioServerParameters(
        command=sys.executable, args=command, env=dict(env), cwd=PROJECT_ROOT
    )


def by_http(url: str, token: str, work: Talk) -> Any:
    """What ``work`` gives with a client that knows the token."""

    async def run() -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=PATIENCE_SECONDS) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            return await work(client)

    return asyncio.run(run())


def text_of(result: CallToolResult) -> str:
    """What a model reads of a result."""
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text
