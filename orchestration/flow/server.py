"""Requests of the commands to a Prefect server."""

import asyncio

import httpx
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings

from ingestion.errors import MedallionError, UnreachableError, UsageError
from orchestration import NIGHTLY


def start_nightly(parameters: dict[str, object], tags: list[str]) -> str:
    """Ask the server to start a run of ``nightly/nightly``; return the name of the run.

    Raises ``UsageError`` if no server is named or the server refuses the run. Raises
    ``MedallionError`` if the server cannot be reached or does not know the deployment.
    """
    api = get_current_settings().api.url
    if not api:
        raise UsageError("No Prefect server is named. Set PREFECT_API_URL, or omit --deployment.")
    try:
        return asyncio.run(_start(parameters, tags))
    except ObjectNotFound as exc:
        raise MedallionError(
            f"The Prefect server at {api} knows no deployment {NIGHTLY}."
            " Deploy it with: prefect --no-prompt deploy --all"
        ) from exc
    except PrefectHTTPStatusError as exc:
        detail = exc.response.text[:500]
        raise UsageError(f"The Prefect server at {api} refused the run: {detail}") from exc
    except httpx.HTTPError as exc:
        raise UnreachableError(f"Cannot reach the Prefect server at {api}: {exc}") from exc


async def _start(parameters: dict[str, object], tags: list[str]) -> str:
    run = await run_deployment(NIGHTLY, parameters=parameters, tags=tags, timeout=0)  # type: ignore[misc]
    return str(run.name)
