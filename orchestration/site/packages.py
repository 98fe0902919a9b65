"""Vega, Vega-Lite and vega-embed as one script, as vl-convert carries them; no server is asked."""

import hashlib
from importlib.metadata import version
from importlib.util import find_spec

from ingestion.errors import MedallionError, MissingExtraError
from ingestion.settings import Settings

NAMES = "window.vegaEmbed=vegaEmbed;"


def script(settings: Settings) -> str:
    """The script; made once for each version of vl-convert, because making it takes seconds.

    Raises ``MissingExtraError`` if the extra ``site`` is not installed.
    """
    check_installed()
    made_by = f"{version('vl-convert-python')}\n{NAMES}"
    name = hashlib.sha256(made_by.encode()).hexdigest()[:16]
    path = settings.work_dir / "site" / f"vega-{name}.js"
    try:
        if path.exists():
            return path.read_text("utf-8")
        import vl_convert

        # the bundle is a module, but a page on disk may load only a plain script
        text = f"(function(){{{vl_convert.javascript_bundle(NAMES)}\n}})();\n"
        path.parent.mkdir(parents=True, exist_ok=True)
        begun = path.with_suffix(".part")
        begun.write_text(text, "utf-8")
        begun.replace(path)
    except OSError as exc:
        raise MedallionError(f"Cannot write to {path.parent}: {exc.strerror}.") from exc
    return text


def check_installed() -> None:
    """Raise ``MissingExtraError`` if the extra ``site`` is not installed."""
    for module, package in (("altair", "altair"), ("vl_convert", "vl-convert-python")):
        if find_spec(module) is None:
            raise MissingExtraError(
                f"The site needs {package}, of the extra site: uv sync --extra site, or"
                " pip install 'medallion[site]'."
            )
