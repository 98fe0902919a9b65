"""Debian's PostgreSQL in folders of its own: with passwords, with TLS, on a disk that is too small.

The server from the wheel trusts every client that reaches its socket. This one asks for a password
and listens on a port of loopback. A test can stop it, start it and fill its disk.
"""

import datetime as dt
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from psycopg2 import sql

from tests.support.ports import free_port

INSTALLED = Path("/usr/lib/postgresql")
# PostgreSQL does not run as root
SERVER_USER = "postgres"
PATIENCE_SECONDS = "30"

# A test's data need not survive a power cut, and a small server starts faster.
CONFIGURATION = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "shared_buffers": "32MB",
    "max_connections": "40",
    "timezone": "UTC",
    # where a test makes plans look dear, compiling them costs a hundred times what they do
    "jit": "off",
}


@dataclass(frozen=True)
class Role:
    """A role that may log in, and its password."""

    name: str
    password: str = field(repr=False)


@dataclass
class DebianPostgres:
    """A running server, and libpq's variables to reach it."""

    folder: Path
    port: int
    superuser: Role
    root_certificate: Path | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def wal(self) -> Path:
        return self.folder / "wal"

    @property
    def host(self) -> str:
        """The name on its certificate; its address if it has none."""
        return "localhost" if self.root_certificate else "127.0.0.1"

    @property
    def variables(self) -> dict[str, str]:
        """libpq's variables for its superuser."""
        return self.variables_for(self.superuser)

    def variables_for(self, role: Role, database: str = "postgres") -> dict[str, str]:
        """libpq's variables for any role and any database."""
        tls = (
            {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(self.root_certificate)}
            if self.root_certificate
            else {}
        )
        return tls | {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": role.name,
            "PGPASSWORD": role.password,
            "PGDATABASE": database,
        }

    def start(self) -> None:
        """Start the server; return when it answers."""
        self._pg_ctl("start", "-l", str(self.folder / "log"))

    def stop(self, mode: str = "fast") -> None:
        """Stop the server; return when it has ended. ``immediate`` is a crash."""
        self._pg_ctl("stop", "-m", mode)

    def restart(self, mode: str = "immediate") -> None:
        """Stop the server, by default as a crash, and start it again."""
        self.stop(mode)
        self.start()

    @property
    def is_running(self) -> bool:
        return _run("pg_ctl", "status", "-D", str(self.data), check=False).returncode == 0

    @contextmanager
    def connect(self, database: str = "postgres") -> Iterator["psycopg2.extensions.connection"]:
        """A superuser's connection that commits each statement by itself."""
        # every parameter is given: a test may have set libpq's variables for another server
        connection = psycopg2.connect(
            host=self.host,
            port=self.port,
            user=self.superuser.name,
            password=self.superuser.password,
            dbname=database,
            sslmode="require" if self.root_certificate else "disable",
            sslrootcert="",
            options="-c lock_timeout=0",
        )
        connection.autocommit = True
        try:
            yield connection
        finally:
            connection.close()

    def query(self, statement: Any, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Execute a statement as the superuser; return its rows, if it has any."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def database(self, owner: Role | None = None) -> Iterator[dict[str, str]]:
        """libpq's variables of a new database for one test, for its owner."""
        owner = owner or self.superuser
        name = f"test_{uuid4().hex[:12]}"
        self.query(f"create database {name} owner {owner.name}")
        try:
            yield self.variables_for(owner, name)
        finally:
            # a stopped server is removed together with its databases
            if self.is_running:
                self.query(f"drop database {name} with (force)")

    def role(self, password: str | None = None) -> Role:
        """A new role that may connect, and nothing else."""
        role = Role(f"role_{uuid4().hex[:12]}", password or secrets.token_urlsafe(24))
        self.query(
            sql.SQL("create role {} login password {}").format(
                sql.Identifier(role.name), sql.Literal(role.password)
            )
        )
        return role

    def dump(self, database: str) -> bytes:
        """The content and the schema of a database, as text."""
        options = {
            "PGPASSWORD": self.superuser.password,
            "PGSSLMODE": "require" if self.root_certificate else "disable",
        }
        where = ("-h", self.host, "-p", str(self.port), "-U", self.superuser.name)
        done = subprocess.run(
            [str(_binaries() / "pg_dump"), *where, "--no-password", database],
            env=_environment() | options,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def _pg_ctl(self, action: str, *arguments: str) -> None:
        _run("pg_ctl", action, "-D", str(self.data), "-w", "-t", PATIENCE_SECONDS, *arguments)


@dataclass(frozen=True)
class Authority:
    """A certificate authority for one test."""

    name: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def write(self, path: Path) -> Path:
        """Write its certificate to a file for libpq; return the path."""
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def sign(self, host: str) -> tuple[bytes, bytes]:
        """A certificate for that host, and its key, as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _certificate(host, self.certificate.subject, key)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return (
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )


def authority(name: str) -> Authority:
    """A new certificate authority, which no client trusts yet."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _certificate(name, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(name, certificate, key)


def _certificate(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
    )


@contextmanager
def debian_postgres(
    password: str | None = None,
    ca: Authority | None = None,
    log_disk: str | None = None,
) -> Iterator[DebianPostgres]:
    """A new server, removed at the end.

    With ``ca``, it accepts TLS only, with a certificate from that authority for ``localhost``.
    With ``log_disk``, its write-ahead log lies on a disk of that size, ``server.wal``.
    """
    _binaries()
    with ExitStack() as at_the_end:
        # not below pytest's own folder: the user that the server runs as may not enter it
        folder = Path(tempfile.mkdtemp(prefix="medallion-postgres-"))
        at_the_end.callback(shutil.rmtree, folder, ignore_errors=True)
        server = DebianPostgres(
            folder, free_port(), Role("owner", password or secrets.token_urlsafe(24))
        )
        _give_to_server(folder)
        if log_disk:
            at_the_end.enter_context(mounted(own_folder(server, "wal"), log_disk))
        _initialize(server, *([f"--waldir={server.wal}"] if log_disk else []))
        if ca:
            server.root_certificate = ca.write(folder / "ca.pem")
            _configure_tls(server, ca)
        at_the_end.callback(_stop_if_running, server)
        server.start()
        yield server


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """Mount a disk of its own on an empty folder of the server, of a size such as ``48m``."""
    if os.geteuid() != 0:
        pytest.skip("a small disk can only be mounted by root")
    options = f"size={size},mode=700"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        _give_to_server(folder)
        yield
    finally:
        # its server may be dead and still have open files
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def resize(folder: Path, size: str) -> None:
    """Change the size of a mounted disk."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def own_folder(server: DebianPostgres, name: str) -> Path:
    """An empty folder that the server may write to."""
    folder = server.folder / name
    folder.mkdir()
    _give_to_server(folder)
    return folder


def _initialize(server: DebianPostgres, *options: str) -> None:
    secret = server.folder / "password"
    secret.write_text(server.superuser.password)
    _give_to_server(secret)
    _run(
        *("initdb", "-D", str(server.data), "--no-sync", "--no-locale", "--encoding=UTF8"),
        # segments of 1 MB, so that they do not fill a small disk from the start
        "--wal-segsize=1",
        *("--username", server.superuser.name),
        *("--auth=scram-sha-256", f"--pwfile={secret}"),
        *options,
    )
    secret.unlink()
    _configure(server, {"port": str(server.port)} | CONFIGURATION)


def _configure_tls(server: DebianPostgres, ca: Authority) -> None:
    certificate, key = ca.sign("localhost")
    for name, content in (("server.crt", certificate), ("server.key", key)):
        path = server.data / name
        path.write_bytes(content)
        path.chmod(0o600)
        _give_to_server(path)
    _configure(server, {"ssl": "on"})
    # only TLS
    (server.data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")


def _configure(server: DebianPostgres, values: dict[str, str]) -> None:
    with (server.data / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in values.items())


def _stop_if_running(server: DebianPostgres) -> None:
    # a server that is already dead is no error of the test
    with suppress(AssertionError):
        server.stop("immediate")


def _binaries() -> Path:
    """The folder with the programs of the newest release; skip the test if there is none."""
    found = [
        path.parent for path in INSTALLED.glob("*/bin/initdb") if path.parent.parent.name.isdigit()
    ]
    if not found:
        pytest.skip("needs Debian's postgresql-15: apt-get install postgresql")
    if os.geteuid() == 0 and not _server_ids():
        pytest.skip(f"root cannot run PostgreSQL, and there is no user {SERVER_USER}")
    return max(found, key=lambda path: int(path.parent.name))


def _server_ids() -> tuple[int, int] | None:
    import pwd

    try:
        entry = pwd.getpwnam(SERVER_USER)
    except KeyError:
        return None
    return entry.pw_uid, entry.pw_gid


def _give_to_server(path: Path) -> None:
    ids = _server_ids()
    if os.geteuid() == 0 and ids:
        os.chown(path, *ids)


def _run(program: str, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[bytes]":
    """Run one of PostgreSQL's programs, as a user that PostgreSQL accepts."""
    other: dict[str, Any] = {}
    ids = _server_ids()
    if os.geteuid() == 0 and ids:
        other = {"user": ids[0], "group": ids[1], "extra_groups": []}
    with tempfile.TemporaryFile() as said:
        # a file, not a pipe: a server would keep a pipe open until it ends
        done = subprocess.run(
            [str(_binaries() / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            cwd="/",
            env=_environment(),
            **other,
        )
        said.seek(0)
        assert done.returncode == 0 or not check, said.read().decode()
    return done


def _environment() -> dict[str, str]:
    """The environment without the variables for clients that a test or a developer has set."""
    return {k: v for k, v in os.environ.items() if not re.match(r"PG|LC_|LANG", k)}
