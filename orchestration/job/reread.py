"""Months whose files are read in another way than when they were built."""

from datetime import date

from ingestion.warehouse.base import Session, has_all_columns, tables
from ingestion.words import counted_are

# ``int_raw_counts`` is built from every month of raw.files, by nothing but what ``version_inputs``
# of the dbt project names; ``build_anew`` empties the key.
_REREAD = """
    select builds.service, builds.source_month, builds.file_key
    from intermediate.month_builds as builds
    inner join raw.files as files
        on files.dataset = builds.service and files.month = builds.source_month
        and files.file_key = builds.file_key
    where builds.table_name = 'intermediate.int_raw_counts' and files.is_current
        and builds.build_key <> ''
        and builds.build_key <> md5(
            builds.definition || cast(files.file_key as varchar(20))
            || case
                when files.read_as <> coalesce(files.read_as_at_upgrade, '')
                then ' ' || files.read_as else ''
            end
        )
"""


def reread_months(session: Session) -> set[tuple[str, date, int]]:
    """Service, month and file_key of what was built, and is read in another way by now.

    It is read so since a load after its source or the release changed, and is built anew by the
    next transform. Empty for an account that may only read the marts.
    """
    there = tables(session)
    if not {("raw", "files"), ("intermediate", "month_builds")} <= there:
        return set()
    if not has_all_columns(session):  # an earlier release did not record how it read
        return set()
    return set(session.query(_REREAD).rows)


def reread_line(count: int) -> str:
    """One line for people about so many of these months."""
    return (
        f"{counted_are(count, 'month')} read in another way since"
        f" {'it was' if count == 1 else 'they were'} built: medallion transform builds"
        f" {'it' if count == 1 else 'them'} anew"
    )
