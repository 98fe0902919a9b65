"""Connections to a Spark Thrift server, by PyHive, which dbt uses too."""

import logging
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from ingestion.errors import (
    MedallionError,
    UnreachableError,
    UnreadableError,
    UsageError,
    WarehouseError,
)
from ingestion.settings import Settings

# what the text of an error says of itself, before and after its reason
_BEFORE = re.compile(
    r"^(Error running query: |\[[A-Z0-9_.]+\] |[a-z]+(\.\w+)+(Exception|Error): )+"
)
_AFTER = re.compile(
    r"( SQLSTATE: \w+| == SQL .*| at org\.apache\.spark\.\S+\(|;\s*'?[A-Z]\w* .*).*$", re.DOTALL
)
# errors of a file of the lake, not of the cluster or the network
_IN_FILE = re.compile(
    r"\[(FAILED_READ_FILE|CANNOT_READ_FILE_FOOTER|PATH_NOT_FOUND|PARQUET_\w+|CANNOT_MERGE_\w+)"
    r"|is not a Parquet file|FileNotFoundException"
)


def connect(settings: Settings, session: Mapping[str, str] | None = None) -> Any:
    """Open a session of the server that the settings name, with the settings of ``session``.

    Raises ``UnreachableError`` where nobody answers, ``MedallionError`` where it lets nobody in,
    and ``UsageError`` where PyHive is not installed.
    """
    try:
        from pyhive import hive
        from thrift.Thrift import TException
        from thrift.transport.TTransport import TTransportException
    except ImportError:
        raise UsageError("Spark's client is not installed. Run: uv sync --extra spark") from None
    # it says on stderr what the error says
    logging.getLogger("thrift.transport.TSocket").setLevel(logging.CRITICAL)
    where = f"Spark at {settings.spark_host}:{settings.spark_port}"
    password = settings.spark_password
    try:
        return hive.connect(
            host=settings.spark_host,
            port=settings.spark_port,
            username=settings.spark_user or None,
            auth=settings.spark_auth,
            password=password.get_secret_value() if password else None,
            kerberos_service_name=settings.spark_kerberos_service or None,
            # without `set:` the Thrift server leaves them out
            configuration={f"set:{name}": value for name, value in (session or {}).items()},
        )
    except (TTransportException, OSError) as exc:
        if isinstance(exc, TTransportException) and exc.type != TTransportException.NOT_OPEN:
            raise MedallionError(
                f"{where} breaks off the login: MEDALLION_SPARK_AUTH={settings.spark_auth} may be"
                " another way than the server's hive.server2.authentication, or user and password"
                " are wrong."
            ) from None
        if isinstance(exc, socket.gaierror):
            raise UnreachableError(f"{where} cannot be reached: no such host.") from None
        raise UnreachableError(
            f"{where} does not answer. Start it, or name another by MEDALLION_SPARK_HOST and"
            " MEDALLION_SPARK_PORT. medallion spark up starts a small one on this machine."
        ) from None
    except (TException, ValueError) as exc:
        reason = " ".join(str(exc).split())
        raise MedallionError(f"{where} refuses the login: {reason}") from None


def close(connection: Any) -> None:
    """Close a session; it is over in any case, whatever the server says."""
    from pyhive.exc import Error
    from thrift.Thrift import TException

    with suppress(Error, TException, OSError):
        connection.close()


@contextmanager
def one_line() -> Iterator[None]:
    """Turn an error of the server into a ``WarehouseError`` of one line."""
    from pyhive.exc import Error
    from thrift.Thrift import TException

    try:
        yield
    except Error as exc:
        raise error_of(_told_by(exc)) from exc
    except (TException, OSError) as exc:
        raise UnreachableError(
            "Spark's Thrift server has ended or broke off the connection; see its log, and run it"
            " again."
        ) from exc


def error_of(text: str) -> WarehouseError:
    """What Spark says of a failed statement, as an error of one line without its SQL and traces."""
    reason = _AFTER.sub("", _BEFORE.sub("", " ".join(text.split()))).rstrip(" .;")
    error = UnreadableError if _IN_FILE.search(text) else WarehouseError
    return error(reason or "Spark gives no reason")


def _told_by(exc: Exception) -> str:
    with suppress(AttributeError, IndexError, TypeError):
        told = exc.args[0].status.errorMessage
        if told:
            return str(told)
    return str(exc)
