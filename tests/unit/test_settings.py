"""Settings: where values come from, where paths lie, and what faults and secrets give away."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import ingestion
from ingestion.addresses import local_path
from ingestion.errors import UsageError
from ingestion.settings import DATA_DIR, Settings, load_settings
from ingestion.sources import registry

SHOW = """
import json
from ingestion.settings import load_settings
print(json.dumps(load_settings().model_dump(), default=str))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project root of its own, whose ``.env`` and ``data/`` are nobody's."""
    root = tmp_path / "project"
    shutil.copytree(
        Path(ingestion.__file__).parent,
        root / "ingestion",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    return root


# what the tests set, so that a run publishes nothing and makes no site
OFF = ("MEDALLION_PUBLISH_URL", "MEDALLION_SITE_DIR")


def shown(project: Path, cwd: Path, **environment: str) -> dict[str, Any]:
    """The settings that a process of the project has, started in ``cwd``."""
    cwd.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=cwd,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH" and k not in OFF}
        | {"PYTHONPATH": str(project)}
        | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


def test_defaults_lie_under_the_project_wherever_a_command_starts(
    project: Path, tmp_path: Path
) -> None:
    values = shown(project, tmp_path / "elsewhere")
    assert values == {
        "tlc_url": "https://d37ci6vzurychx.cloudfront.net",
        "report_url": "",
        "nyc_open_data_url": "https://data.cityofnewyork.us/resource",
        "tlc_documents_url": "https://www.nyc.gov/assets/tlc/downloads/pdf",
        "weather_url": "https://www.ncei.noaa.gov/access/services",
        "weather_csv_url": "https://www.ncei.noaa.gov/access/services",
        "sources": "",
        "enabled_sources": "",
        "lake_url": (project / "data" / "lake").as_uri(),
        "lake_encryption": "",
        "lake_storage_class": "",
        "target": "duckdb",
        "raw": "loaded",
        "duckdb_path": str(project / "data" / "warehouse.duckdb"),
        "duckdb_memory_limit": "1GB",
        "postgres_dir": str(project / "data" / "postgres"),
        "postgres_roles": "",
        "spark_method": "thrift",
        "spark_host": "127.0.0.1",
        "spark_port": 10000,
        "spark_auth": "NONE",
        "spark_user": "",
        "spark_password": None,
        "spark_kerberos_service": "",
        "spark_schema_prefix": "",
        "spark_threads": 2,
        "spark_format": "parquet",
        "spark_dir": str(project / "data" / "spark"),
        "work_dir": str(project / "data" / "work"),
        "least_download_rate": 1000,
        "publish_url": "",
        "keep_publications": 30,
        "metrics_path": None,
        "site_dir": "",
        "site_url": "",
        "mcp_token": None,
        "alert_webhook_url": None,
        "stale_after_days": None,
        "row_loss_pct": 1.0,
        "env": "",
    }


def test_env_files_are_read_and_the_environment_wins_over_both(
    project: Path, tmp_path: Path
) -> None:
    cwd = tmp_path / "elsewhere"
    cwd.mkdir()
    (project / ".env").write_text(
        "MEDALLION_TLC_URL=https://root.example\n"
        "MEDALLION_LAKE_URL=s3://root/lake\n"
        "MEDALLION_REPORT_URL=https://root.example/report.csv\n"
        "UNRELATED=1\n"
    )
    (cwd / ".env").write_text(
        "MEDALLION_LAKE_URL=s3://cwd/lake\nMEDALLION_REPORT_URL=https://cwd.example/report.csv\n"
    )
    values = shown(project, cwd, MEDALLION_REPORT_URL="https://environment.example/report.csv")
    assert values["tlc_url"] == "https://root.example"
    assert values["lake_url"] == "s3://cwd/lake"
    assert values["report_url"] == "https://environment.example/report.csv"


@pytest.mark.parametrize("content", ["PASSWORD=caf\xe9 hunter2".encode("latin-1"), b"A=hunter2\0"])
def test_an_env_file_that_is_no_text_is_refused_and_not_shown(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"Cannot read {tmp_path}/.env: it is no plain") as fault:
        load_settings()
    assert "hunter2" not in str(fault.value)
    assert fault.value.__cause__ is None


def test_an_env_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").symlink_to("/proc/self/mem")  # which not even root can read from its start
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"Cannot read {tmp_path}/.env: Input/output error"):
        load_settings()


def test_relative_paths_are_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDALLION_LAKE_URL", "my/lake")
    monkeypatch.setenv("MEDALLION_DUCKDB_PATH", "my/w.duckdb")
    monkeypatch.setenv("MEDALLION_WORK_DIR", "my/work")
    settings = load_settings()
    monkeypatch.chdir("/")
    assert settings.lake_url == (tmp_path / "my/lake").as_uri()
    assert settings.duckdb_path == tmp_path / "my/w.duckdb"
    assert settings.spool_dir == tmp_path / "my/work/spool"
    assert settings.dlt_dir == tmp_path / "my/work/dlt"


def test_a_home_folder_may_be_written_with_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("MEDALLION_LAKE_URL", "~/lake")
    monkeypatch.setenv("MEDALLION_DUCKDB_PATH", "~/w.duckdb")
    settings = load_settings()
    assert settings.lake_url == "file:///home/someone/lake"
    assert settings.duckdb_path == Path("/home/someone/w.duckdb")


@pytest.mark.parametrize(
    "name", ["raw", "tlc", "marts", "staging", "intermediate", "information_schema", "main", "TEMP"]
)
@pytest.mark.parametrize("ending", [".duckdb", "", ".sample.db"])
def test_a_warehouse_is_not_named_as_a_schema(
    monkeypatch: pytest.MonkeyPatch, name: str, ending: str
) -> None:
    monkeypatch.setenv("MEDALLION_DUCKDB_PATH", f"my/{name}{ending}")
    with pytest.raises(UsageError, match="MEDALLION_DUCKDB_PATH: choose another name") as raised:
        load_settings()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["TLC_URL", "LAKE_URL", "DUCKDB_PATH", "TARGET", "WORK_DIR"])
def test_an_empty_variable_is_as_good_as_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unset = load_settings()
    monkeypatch.setenv(f"MEDALLION_{name}", "")
    assert load_settings() == unset


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TLC_URL", "ftp://someone:hunter2@mirror.example"),
        ("TLC_URL", "d37ci6vzurychx.cloudfront.net/hunter2"),
        ("TLC_URL", "https://someone:hunter2@mirror.example/tlc"),
        ("TLC_URL", "http://someone:12#hunter2@mirror.example"),
        ("REPORT_URL", "https://hunter2@mirror.example/report.csv"),
        ("REPORT_URL", "hunter2.csv"),
        ("LAKE_URL", "https://someone:hunter2@bucket.example"),
        *(("LAKE_URL", f"{kind}://hunter2/a{c}b") for kind in ("gs", "az") for c in "*?[]"),
        *(("LAKE_URL", f"{place}hunter2/a\\b") for place in ("s3://", "az://", "/[lakes]/")),
        ("LAKE_URL", "file:///hunter2/lake?"),
        ("LAKE_URL", "file:///hunter2/lake#1"),
        ("TARGET", "hunter2"),
        ("RAW", "hunter2"),
        ("DUCKDB_MEMORY_LIMIT", "hunter2"),
        ("DUCKDB_MEMORY_LIMIT", "50%"),
    ],
)
def test_a_wrong_value_is_refused_by_its_variable_and_never_shown(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"MEDALLION_{name}", value)
    with pytest.raises(UsageError) as fault:
        load_settings()
    assert f"MEDALLION_{name}: " in str(fault.value)
    assert ".env.example" in str(fault.value)
    assert value not in str(fault.value)
    assert "hunter2" not in str(fault.value)
    assert fault.value.exit_code == 2


def test_a_password_in_an_address_is_sent_to_where_it_belongs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MEDALLION_TLC_URL", "https://someone:hunter2@mirror.example")
    with pytest.raises(UsageError, match=r"MEDALLION_TLC_URL: leave user .* ~/\.netrc"):
        load_settings()
    monkeypatch.setenv("MEDALLION_TLC_URL", "https://mirror.example/@someone?signature=a@b")
    assert load_settings().tlc_url == "https://mirror.example/@someone?signature=a@b"


@pytest.mark.parametrize("keys", ["AKIA:hunter2", "AKIA:hunt/er2"])
def test_keys_in_the_address_of_the_lake_are_sent_to_where_they_belong(
    keys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDALLION_LAKE_URL", f"s3://{keys}@bucket/lake")
    with pytest.raises(UsageError, match="MEDALLION_LAKE_URL: leave keys out") as fault:
        load_settings()
    assert "AKIA" not in str(fault.value)


def test_blanks_around_a_value_are_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As files for Docker keep them: another folder, or another prefix, would be taken."""
    monkeypatch.setenv("MEDALLION_LAKE_URL", " s3://bucket/lake/ ")
    monkeypatch.setenv("MEDALLION_TLC_URL", "https://mirror.example/ ")
    monkeypatch.setenv("MEDALLION_DUCKDB_PATH", "/data/w.duckdb\r")
    monkeypatch.setenv("MEDALLION_SITE_DIR", "off ")
    monkeypatch.setenv("MEDALLION_RAW", "in_place ")
    monkeypatch.setenv("MEDALLION_WORK_DIR", " ")
    monkeypatch.setenv("MEDALLION_SPARK_PASSWORD", " hunter2 ")
    settings = load_settings()
    assert settings.lake_url == "s3://bucket/lake"
    assert settings.tlc_url == "https://mirror.example"
    assert settings.duckdb_path == Path("/data/w.duckdb")
    assert settings.site_path is None
    assert settings.raw == "in_place"
    assert settings.work_dir == DATA_DIR / "work"
    assert settings.spark_password is not None
    assert settings.spark_password.get_secret_value() == " hunter2 "


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("LAKE_URL", '"/data/lake"', "leave out the quotes"),
        ("DUCKDB_PATH", "'/data/w.duckdb'", "leave out the quotes"),
        ("LAKE_URL", "~nobody-of-this-name/lake", "no home folder ~nobody-of-this-name"),
        ("SITE_DIR", "~nobody-of-this-name/site", "no home folder ~nobody-of-this-name"),
        ("LAKE_URL", "$HOME/lake", r"\$HOME is not replaced here"),
        ("WORK_DIR", "${DATA}/work", r"\${DATA} is not replaced here"),
        ("SITE_DIR", "s3://pages/site", "give a folder, not an address"),
        ("DUCKDB_PATH", f"/data/{'é' * 101}.duckdb", "longer than 200 bytes"),
        ("LAKE_URL", f"/data/{'x' * 201}", "longer than 200 bytes"),
        ("DUCKDB_PATH", "/", "name a file"),
        ("LAKE_URL", "/", "name a folder"),
        ("TLC_URL", "https://", "name a server"),
        ("TLC_URL", "http:/mirror.example/tlc", "name a server"),
        ("TLC_URL", "https://mirror.example:tlc/", "name a server"),
    ],
)
def test_a_value_that_names_no_place_is_refused(
    name: str, value: str, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"MEDALLION_{name}", value)
    with pytest.raises(UsageError, match=f"MEDALLION_{name}: .*{error}"):
        load_settings()


@pytest.mark.parametrize("url", ["s3:/bucket/lake", "gs:bucket", "file:/data/lake", ":memory:"])
def test_a_mistyped_address_is_no_folder(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_LAKE_URL", url)
    with pytest.raises(UsageError, match=f"MEDALLION_LAKE_URL: .* two slashes.* write ./{url}"):
        load_settings()
    monkeypatch.setenv("MEDALLION_LAKE_URL", f"./{url}")
    assert load_settings().lake_url.startswith("file:///")
    for path in (url, "md:trips", "s3://bucket/warehouse.duckdb"):
        monkeypatch.setenv("MEDALLION_DUCKDB_PATH", path)
        with pytest.raises(UsageError, match="MEDALLION_DUCKDB_PATH: give a path, not an address"):
            load_settings()


@pytest.mark.parametrize("url", ["s3://", "gs:///tlc", "az://"])
def test_a_lake_in_no_bucket_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_LAKE_URL", url)
    with pytest.raises(UsageError, match="MEDALLION_LAKE_URL: name a bucket"):
        load_settings()


def test_every_wrong_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_TARGET", "oracle")
    monkeypatch.setenv("MEDALLION_RAW", "cooked")
    with pytest.raises(UsageError, match=r"MEDALLION_TARGET.*MEDALLION_RAW"):
        load_settings()


def test_a_secret_is_in_no_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_ALERT_WEBHOOK_URL", "https://hooks.example/hunter2")
    settings = load_settings()
    for text in (repr(settings), str(settings), str(settings.model_dump())):
        assert "hunter2" not in text
    assert settings.alert_webhook_url is not None
    assert settings.alert_webhook_url.get_secret_value() == "https://hooks.example/hunter2"


@pytest.mark.parametrize("limit", ["1GB", "512MB", "1.5 GiB", "800MiB"])
def test_memory_limits_as_duckdb_writes_them(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_DUCKDB_MEMORY_LIMIT", limit)
    assert load_settings().duckdb_memory_limit == limit


def address_of_report(settings: Settings) -> str:
    report = registry.datasets()["tlc_monthly_report"]
    return settings.publisher(registry.source_of(report.name)).address(report)


def test_the_sample_stands_apart(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    settings = make_settings(report_url="https://report.example/r.csv")
    sample = settings.for_sample(tmp_path / "my sample")
    assert sample.tlc_url == (tmp_path / "my sample").as_uri()
    assert address_of_report(sample) == f"{sample.tlc_url}/misc/data_reports_monthly.csv"
    assert sample.lake_url == f"{settings.lake_url}-sample"
    assert sample.duckdb_path == tmp_path / "warehouse.sample.duckdb"
    assert sample.work_dir == settings.work_dir


def test_a_past_day_has_a_warehouse_beside_the_current_one(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = make_settings()
    past = settings.as_of(date(2024, 3, 31))
    assert past.duckdb_path == tmp_path / "warehouse.as-of-2024-03-31.duckdb"
    assert past.lake_url == settings.lake_url
    both = settings.for_sample(tmp_path).as_of(date(2024, 3, 31))
    assert both.duckdb_path == tmp_path / "warehouse.sample.as-of-2024-03-31.duckdb"


def test_an_environment_has_a_warehouse_and_publications_beside_the_main_ones(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = make_settings(publish_url=str(tmp_path / "gold"), env="later")
    trial = settings.in_environment("try")
    assert trial.duckdb_path == tmp_path / "warehouse.env-try.duckdb"
    assert trial.publications_url == (tmp_path / "gold-env-try").as_uri()
    assert trial.lake_url == settings.lake_url
    assert (trial.environment, trial.is_environment) == ("try", True)
    assert trial.run_command == "medallion run --env try"
    assert settings.in_environment("") == settings
    assert settings.in_environment().environment == "later"
    past = settings.for_sample(tmp_path).in_environment("try").as_of(date(2024, 3, 31))
    assert past.duckdb_path.name == "warehouse.sample.env-try.as-of-2024-03-31.duckdb"
    assert past.run_command == "medallion run --sample --env try --as-of 2024-03-31"
    assert (past.environment, past.is_environment) == ("try", False)


def test_the_report_is_beside_a_folder_of_files_and_else_where_tlc_keeps_it() -> None:
    def report(**values: str) -> str:
        return address_of_report(Settings(_env_file=None, **values))

    assert report(tlc_url="file:///tlc/") == "file:///tlc/misc/data_reports_monthly.csv"
    assert report().startswith("https://www.nyc.gov/")
    assert report(tlc_url="http://mirror.example").startswith("https://www.nyc.gov/")
    assert report(tlc_url="file:///tlc", report_url="https://r.example") == "https://r.example"


def test_file_addresses_have_paths_and_others_have_none() -> None:
    assert local_path("file:///my%20lake/raw") == Path("/my lake/raw")
    assert local_path("s3://bucket/lake") is None
    assert local_path("https://tlc.example/x") is None


@pytest.mark.parametrize("name", ["TLC_URL", "REPORT_URL", "LAKE_URL"])
def test_a_file_address_that_names_a_host_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # file://data/lake is a slip for file:///…/data/lake: its "data" would be a machine
    monkeypatch.setenv(f"MEDALLION_{name}", "file://data/lake")
    with pytest.raises(UsageError, match=f"MEDALLION_{name}: .*file:///"):
        load_settings()


@pytest.mark.parametrize("url", ["s3://b/a *?[1]", "gs://b/Zoë's #1 100%25 {a}", "az://b/#1 {a}"])
def test_the_address_of_a_bucket_is_taken_as_it_is_written(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDALLION_LAKE_URL", url)
    assert load_settings().lake_url == url


@pytest.mark.parametrize(
    ("lake", "name", "value"),
    [
        ("data/lake", "LAKE_ENCRYPTION", "AES256"),
        ("data/lake", "LAKE_STORAGE_CLASS", "STANDARD_IA"),
        ("gs://lakes/tlc", "LAKE_STORAGE_CLASS", "NEARLINE"),
        ("s3://lakes/tlc", "LAKE_STORAGE_CLASS", "DEEP_ARCHIVE"),
        ("az://lakes/tlc", "LAKE_STORAGE_CLASS", "Archive"),
    ],
)
def test_what_the_lakes_store_cannot_do_is_refused(
    lake: str, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDALLION_LAKE_URL", lake)
    monkeypatch.setenv(f"MEDALLION_{name}", value)
    with pytest.raises(UsageError, match=f"MEDALLION_{name}"):
        load_settings()


@pytest.mark.parametrize(
    ("lake", "name", "value"),
    [
        ("s3://lakes/tlc", "LAKE_ENCRYPTION", "aws:kms"),
        ("s3://lakes/tlc", "LAKE_STORAGE_CLASS", "INTELLIGENT_TIERING"),
        ("gs://lakes/tlc", "LAKE_ENCRYPTION", "projects/p/locations/l/keyRings/r/cryptoKeys/k"),
        ("az://lakes/tlc", "LAKE_ENCRYPTION", "scope"),
        ("az://lakes/tlc", "LAKE_STORAGE_CLASS", "Cool"),
    ],
)
def test_what_the_lakes_store_can_do_is_taken(
    lake: str, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDALLION_LAKE_URL", lake)
    monkeypatch.setenv(f"MEDALLION_{name}", value)
    assert load_settings().model_dump()[name.lower()] == value


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("MEDALLION_LAKE_ULR", "do you mean MEDALLION_LAKE_URL?"),
        ("MEDALLION_DUCKDB_PTH", "do you mean MEDALLION_DUCKDB_PATH?"),
        ("MEDALLION_VARIANT", "MEDALLION_VARIANT is no setting"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "secret")
    with pytest.raises(UsageError) as raised:
        load_settings()
    assert said in str(raised.value)
    assert "secret" not in str(raised.value)


def test_an_unknown_target_is_refused_with_those_that_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MEDALLION_TARGET", "duckdbb")
    with pytest.raises(UsageError) as raised:
        load_settings()
    assert "'duckdb', 'postgres' or 'spark'" in str(raised.value)


def test_a_work_folder_that_dlt_cannot_work_in_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_WORK_DIR", "/tmp/100%/work")
    with pytest.raises(UsageError, match="MEDALLION_WORK_DIR: name a folder whose path has no %"):
        load_settings()


@pytest.mark.parametrize(
    ("lake", "published"),
    [("data/lake", "data"), ("data/lake", "data/lake/gold"), ("s3://a/b", "s3://a/b")],
)
def test_lake_and_publications_do_not_lie_in_each_other(
    lake: str, published: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDALLION_LAKE_URL", lake)
    monkeypatch.setenv("MEDALLION_PUBLISH_URL", published)
    with pytest.raises(UsageError, match="lie in each other"):
        load_settings()


@pytest.mark.parametrize(
    ("values", "published"),
    [
        ({}, "/w/published"),
        ({"publish_url": "off"}, None),
        ({"target": "postgres"}, None),
        ({"target": "postgres", "publish_url": "/gold"}, "/gold"),
    ],
)
def test_where_a_warehouse_publishes(
    values: dict[str, str], published: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEDALLION_PUBLISH_URL", raising=False)
    settings = Settings(_env_file=None, duckdb_path=Path("/w/warehouse.duckdb"), **values)
    assert settings.publications_url == (published and f"file://{published}")
    # a past day is built to be looked at once
    assert settings.as_of(date(2024, 5, 1)).publications_url is None
