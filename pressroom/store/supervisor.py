"""The process that keeps one embedded PostgreSQL: `python -m pressroom.store.supervisor FOLDER IDLE_SECONDS`.

It starts the server (creating the cluster first), stops it when nobody has used it for the idle time, when it is told to end,
or when the folder is gone, and ends with it. One lives for each folder: a second one finds the lock held and ends at once.
"""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from pressroom.store.embedded import PORT, READY_WITHIN_S, Place, Postmaster, account, count_clients, halt, program

PROBE_S = 0.2  # who only looks whether the lock is held has it for a millisecond
POLL_S = 0.25  # how soon the end of the server is seen: `stop_server` waits for it
ROTATE_BYTES = 10_000_000  # a log larger than this is set aside at the next start
SOCKET_PATH_BYTES = 100  # Linux takes 107, macOS 103

# One user at a time, small tables, many short processes. Nothing here trades away durability: fsync and synchronous_commit stay on.
OPTIONS = {
    "listen_addresses": "127.0.0.1" if os.name == "nt" else "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",  # every Dagster run, code server and command has a pool of its own
    "wal_level": "minimal",  # nobody replicates from it, and a backup is a dump
    "max_wal_senders": "0",
    "io_method": "sync",  # saves three worker processes at each start
    "jit": "off",  # compiling costs 100 ms, our queries take 1
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


class Failed(Exception):
    """The server cannot be started; the log says why."""


class Told(Exception):
    """A signal asked us to end."""


def main(place: Place, lock: FileLock, idle_s: float) -> int:
    os.chdir(place.folder.anchor)  # a current folder of somebody's would be kept from being removed
    try:
        lock.acquire(timeout=PROBE_S)
    except Timeout:
        return 0
    _listen_to_signals()
    try:
        server = _start(place)
    except (Failed, OSError) as error:
        _log(f"cannot start: {error}")
        return 1
    try:
        _watch(place, server, idle_s)
    except Told:
        _log("told to end")
    _end(place, server)
    return 0


class Server:
    """The server's process: our child, or one whose earlier supervisor was killed."""

    def __init__(self, pid: int, child: "subprocess.Popen[bytes] | None" = None) -> None:
        self.pid = pid
        self._child = child

    def is_alive(self) -> bool:
        return self._child.poll() is None if self._child else _is_postgres(self.pid)

    def kill(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            family = [*process.children(), process]
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()


def _start(place: Place) -> Server:
    with contextlib.suppress(FileNotFoundError):
        if place.log.stat().st_size > ROTATE_BYTES:
            shutil.copyfile(place.log, place.log.with_suffix(".log.1"))
            os.truncate(place.log, 0)
    if not place.exists():
        _create(place)
    running = place.postmaster()
    if running and _is_postgres(running.pid):
        _log(f"found the server running as process {running.pid}")
        return Server(running.pid)
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        _clear_stale(place)
        child = _launch(place)
        while child.poll() is None:
            ready = place.postmaster()
            if ready and (ready.pid == child.pid or os.name == "nt"):
                return Server(ready.pid, child if ready.pid == child.pid else None)
            if not place.exists():
                child.kill()
                raise Failed("the folder is gone")
            time.sleep(0.01)
        # Children of a server that was killed may still hold its shared memory; they end by themselves or are ended here.
        _end_orphans(place)
        if time.monotonic() > deadline:
            raise Failed(f"the server ended with {child.returncode}")
        time.sleep(0.2)


def _create(place: Place) -> None:
    """Makes the cluster beside its place and moves it there when it is whole: half of one is never found."""
    new = place.folder / "data.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    run_as = account(place)
    if run_as:
        os.chown(new, run_as["user"], run_as["group"])
        _let_through(new, run_as["user"])
        _let_through(Path(program("postgres")), run_as["user"])
    command = [program("initdb"), "-D", str(new), "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
    command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]  # sorts alike on every system
    if sys.platform == "linux":
        command.append("--sync-method=syncfs")  # one call for a thousand files: 1.3 s instead of 6.6 on a busy disk
    try:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=sys.stderr, **run_as)
    except subprocess.CalledProcessError as error:
        raise Failed(f"initdb ended with {error.returncode}") from None
    new.rename(place.data)


def _launch(place: Place) -> "subprocess.Popen[bytes]":
    run_as = account(place)
    if run_as:
        _let_through(place.data, run_as["user"])
        _let_through(Path(program("postgres")), run_as["user"])
    options = OPTIONS
    if os.name == "nt":
        options = options | {"port": str(_free_port())}
    else:
        options = options | {"unix_socket_directories": str(_socket_folder(place, run_as))}
    command = [program("postgres"), "-D", str(place.data)]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, **run_as)


def _socket_folder(place: Place, run_as: dict[str, Any]) -> Path:
    if len(os.fsencode(place.data / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_BYTES:
        return place.data
    short = _short_folder(place)
    with contextlib.suppress(FileExistsError):
        short.mkdir(mode=0o700)
        if run_as:
            os.chown(short, run_as["user"], run_as["group"])
    found = short.lstat()
    if short.is_symlink() or found.st_uid != run_as.get("user", os.geteuid()) or found.st_mode & 0o077:
        raise Failed(f"{short} is not a folder of our own")
    return short


def _short_folder(place: Place) -> Path:
    return Path(tempfile.gettempdir()) / f"pressroom-{hashlib.sha256(os.fsencode(place.data)).hexdigest()[:12]}"


def _let_through(path: Path, user: int) -> None:
    """Lets the server's user pass (not list) the folders above `path`: a root's home is closed to it."""
    for folder in path.resolve().parents:
        found = folder.stat()
        if found.st_uid != user and not found.st_mode & 0o001:
            with contextlib.suppress(OSError):
                folder.chmod(found.st_mode | 0o001)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _clear_stale(place: Place) -> None:
    """Removes the pid file of a server that is gone: its number may be another process's by now, which PostgreSQL takes for a rival."""
    with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
        pid_file = place.data / "postmaster.pid"
        if not _is_postgres(int(pid_file.read_text(encoding="utf-8").splitlines()[0])):
            pid_file.unlink()


def _end_orphans(place: Place) -> None:
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.Error, OSError):
            if _names_postgres(process.info["name"]) and process.cwd() == str(place.data):
                process.kill()


def _is_postgres(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        return _names_postgres(process.name()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _names_postgres(name: str | None) -> bool:
    return (name or "").lower() in ("postgres", "postgres.exe")


def _watch(place: Place, server: Server, idle_s: float) -> None:
    """Returns when the server should end, or has."""
    look_every = min(30.0, max(POLL_S, idle_s / 4))
    busy_at = time.time()
    look_at = time.monotonic() + look_every
    while server.is_alive() and place.exists():
        time.sleep(POLL_S)
        if time.monotonic() < look_at:
            continue
        look_at = time.monotonic() + look_every
        if _clients(place) > 0:
            busy_at = time.time()
        with contextlib.suppress(FileNotFoundError):
            busy_at = max(busy_at, place.used.stat().st_mtime)
        if time.time() - busy_at > idle_s:
            _log(f"nobody used the server for {idle_s:.0f} s")
            return


def _clients(place: Place) -> int:
    import psycopg

    postmaster: Postmaster | None = place.postmaster()
    if postmaster is None:
        return 0
    try:
        with postmaster.connect("postgres") as connection:
            return count_clients(connection)
    except psycopg.Error:
        return 1  # too busy to answer is not idle


def _end(place: Place, server: Server) -> None:
    if server.is_alive() and place.exists():
        halt(place)
    if server.is_alive():
        server.kill()
    shutil.rmtree(_short_folder(place), ignore_errors=True)
    _log("the server has ended")


def _listen_to_signals() -> None:
    def end(number: int, frame: object) -> None:
        raise Told

    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), end)


def _log(line: str) -> None:
    with contextlib.suppress(OSError):
        print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC supervisor {os.getpid()}: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    of = Place(Path(sys.argv[1]))
    lock_of_this_process = FileLock(of.lock)
    # The lock is let go by the end of the process and not before: who sees it free must find nobody.
    os._exit(main(of, lock_of_this_process, float(sys.argv[2])))
