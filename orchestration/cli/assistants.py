"""Answer assistants: ``mcp``."""

from typing import Annotated

import typer

from orchestration.cli.options import AsOf, Env, Sample, Target, command

PORT = 8765


def mcp(
    http: Annotated[
        bool,
        typer.Option("--http", help="Answer over HTTP, on this machine only and with a token."),
    ] = False,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="With --http; by default 8765, 0: any free."),
    ] = None,
    rows: Annotated[
        int, typer.Option("--rows", min=1, max=100_000, help="Rows of one answer at most.")
    ] = 1_000,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, max=3600, help="Seconds of one query at most.")
    ] = 30.0,
    as_of: AsOf = None,
    sample: Sample = False,
    target: Target = None,
    env: Env = None,
) -> None:
    """Answer assistants by the Model Context Protocol: five tools that only read.

    Over stdio, for a client that starts this command itself; or over HTTP with a token, which is
    that of MEDALLION_MCP_TOKEN, or a new one that is printed once. Every answer says from which
    run and file versions it comes, and whether they can be trusted. Needs the extra `mcp`.
    """
    if port is not None and not http:
        raise typer.BadParameter("--port goes with --http.")
    with command(sample, target, as_of=as_of, env=env) as settings:
        import secrets

        from orchestration.assistants.server import check_installed, serve_http, serve_stdio
        from orchestration.assistants.tools import Limits, Tools
        from orchestration.cli.console import notice

        check_installed()
        tools = Tools(settings, Limits(rows, seconds))
        if not http:
            serve_stdio(tools)
            return
        given = settings.mcp_token
        token = given.get_secret_value() if given else secrets.token_urlsafe(32)
        if not given:
            notice(f"token, of this start only: {token}")
        serve_http(tools, token, PORT if port is None else port, notice)
