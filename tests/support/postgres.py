"""A PostgreSQL server for tests: in a temporary folder, on a Unix socket, with a database for each test; and what
stands between it and a store: PgBouncer, and a wire that can be cut."""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self

import asyncpg
import pytest

_VERSIONS = Path("/usr/lib/postgresql")
_USER = "tollhouse"
# PostgreSQL refuses to run as root; Debian's package makes this user.
_SERVER_USER = "postgres"
# A Unix socket's path has at most 107 bytes, so it stands in a short folder rather than in pytest's.
_PORT = 5432


def find_postgres() -> Path | None:
    """The folder of the server's programs, the newest when there are several; None without them."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    folders = sorted(_VERSIONS.glob("*/bin"), key=lambda folder: int(folder.parent.name))
    return next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)


def require_postgres() -> Path:
    """As `find_postgres`; the test is skipped without it."""
    programs = find_postgres()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return programs


class PostgresServer:
    """One server and its data; it listens on a Unix socket only."""

    def __init__(self, programs: Path, **settings: str) -> None:
        self._programs = programs
        self._settings = settings
        self._names = itertools.count(1)
        self.folder = Path(tempfile.mkdtemp(prefix="th-pg-"))
        self.data = self.folder / "data"
        if os.getuid() == 0:
            shutil.chown(self.folder, _SERVER_USER)
        self.folder.chmod(0o755)
        self._run("initdb", "-D", str(self.data), "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()

    def start(self) -> None:
        """Serve, and wait until it does."""
        options = {"listen_addresses": "", "unix_socket_directories": str(self.folder), "max_connections": "200"}
        flags = " ".join(f"-c {name}='{value}'" for name, value in (options | self._settings).items())
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.data), "-w", "-t", "30", "-l", log, "-o", flags, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop: `smart` waits for sessions, `fast` cuts them off, `immediate` is a crash."""
        self._run("pg_ctl", "-D", str(self.data), "-w", "-t", "30", "-m", mode, "stop")

    def running(self) -> bool:
        """Whether it was started and not stopped; a frozen one is."""
        return (self.data / "postmaster.pid").exists()

    def freeze(self) -> None:
        """Let every process of the server stand still, as a machine that hangs does."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """The opposite of `freeze`."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Stop at once and delete the data."""
        if self.running():
            self.thaw()
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        return f"postgresql://{_USER}@/{database}?host={self.folder}"

    def new_database(self, template: str = "template1") -> str:
        """A fresh database, empty or a copy of another; its URL."""
        name = f"test_{os.getpid()}_{next(self._names)}"
        self.ask(self.url("postgres"), f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def drop(self, url: str) -> None:
        """Delete a database, whoever is connected to it."""
        name = url.partition("@/")[2].partition("?")[0]
        self.ask(self.url("postgres"), f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    @staticmethod
    def ask(url: str, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Query behind the store's back."""

        async def run(connection: asyncpg.Connection) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in await connection.fetch(sql, *values)]

        return with_connection(url, run)

    def processes(self) -> list[int]:
        """The postmaster and its children."""
        postmaster = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return [postmaster, *map(int, children)]

    def _signal(self, number: signal.Signals) -> None:
        # The parent first, so that it cannot make children meanwhile, and last to go on for the same reason.
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def _run(self, program: str, *arguments: str) -> None:
        user = {"user": _SERVER_USER} if os.getuid() == 0 else {}
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            check=False,
            **user,  # type: ignore[arg-type]
        )
        assert done.returncode == 0, f"{program}: {done.stderr.decode()}"


class PgBouncer:
    """PgBouncer in transaction mode before a server, with few server connections for all, so that a statement
    that relies on its session meets another's."""

    def __init__(self, program: str, server: PostgresServer) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="th-pgb-"))
        self._folder.chmod(0o777)
        config = self._folder / "pgbouncer.ini"
        settings = {
            "listen_addr": "",
            "listen_port": str(_PORT),
            "unix_socket_dir": str(self._folder),
            "auth_type": "trust",
            "auth_file": f"{self._folder}/users",
            "pool_mode": "transaction",
            "default_pool_size": "2",
            "logfile": f"{self._folder}/log",
            "pidfile": f"{self._folder}/pid",
        }
        lines = ["[databases]", f"* = host={server.folder} port={_PORT}", "[pgbouncer]"]
        config.write_text("\n".join(lines + [f"{name} = {value}" for name, value in settings.items()]) + "\n")
        (self._folder / "users").write_text(f'"{_USER}" ""\n')
        user = {"user": _SERVER_USER} if os.getuid() == 0 else {}
        self._process = subprocess.Popen([program, "-q", str(config)], **user)  # type: ignore[call-overload]
        deadline_s = time.monotonic() + 10
        while not (self._folder / f".s.PGSQL.{_PORT}").exists():
            assert time.monotonic() < deadline_s, "PgBouncer did not start"
            time.sleep(0.02)

    def url(self, url: str) -> str:
        """The same database through PgBouncer."""
        return f"{url.partition('?')[0].replace('@', ':any@')}?host={self._folder}"

    def remove(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        shutil.rmtree(self._folder, ignore_errors=True)


class Wire:
    """Stands between a store and the server; `cut_at_answer` lets one more message through and cuts the connection
    before its answer: what a network does at the worst moment."""

    def __init__(self, server: PostgresServer) -> None:
        self._to = str(server.folder / f".s.PGSQL.{_PORT}")
        self._folder = Path(tempfile.mkdtemp(prefix="th-wire-"))
        self._listener: asyncio.Server | None = None
        self._cut: bytes | None = None
        self.cuts = 0

    def url(self, url: str) -> str:
        return f"{url.partition('?')[0]}?host={self._folder}"

    def cut_at_answer(self, to: bytes) -> None:
        """Cut the connection that next sends something with `to` in it, once the server has answered."""
        self._cut = to

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_unix_server(self._join, str(self._folder / f".s.PGSQL.{_PORT}"))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()
        shutil.rmtree(self._folder)

    async def _join(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        server_in, server_out = await asyncio.open_unix_connection(self._to)
        cutting = False

        async def ask() -> None:
            nonlocal cutting
            while data := await client_in.read(1 << 20):
                if self._cut is not None and self._cut in data:
                    self._cut = None
                    cutting = True
                server_out.write(data)
                await server_out.drain()

        async def answer() -> None:
            while data := await server_in.read(1 << 20):
                if cutting:
                    self.cuts += 1
                    return
                client_out.write(data)
                await client_out.drain()

        ways = [asyncio.ensure_future(ask()), asyncio.ensure_future(answer())]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (client_out, server_out):
            end.close()


def with_connection(url: str, work: Callable[[asyncpg.Connection], Coroutine[Any, Any, Any]]) -> Any:
    """Connect, run `work`, disconnect."""

    async def run() -> Any:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(run())
