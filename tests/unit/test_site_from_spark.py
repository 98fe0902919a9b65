"""From Spark no site is made, and a night there is good without one."""

from pathlib import Path

import pytest

from orchestration.site.build import NoSiteError, build_site
from orchestration.tasks import make_site
from tests.conftest import settings_in

REASON = "from DuckDB or PostgreSQL, not from Spark"


def test_a_site_from_spark_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(NoSiteError, match=REASON):
        build_site(settings_in(tmp_path, target="spark"), tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_night_on_spark_says_that_there_is_no_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDALLION_TARGET", "spark")
    monkeypatch.setenv("MEDALLION_SITE_DIR", str(tmp_path / "site"))
    told = make_site.fn()
    assert isinstance(told, str)
    assert REASON in told
