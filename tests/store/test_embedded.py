"""The embedded server lives and dies as it should: against real processes, signals and folders."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from pressroom.errors import BadInput, Transient
from pressroom.store.embedded import ensure_server, server_status, stop_server

IDLE_S = 60


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One home for the file: each test finds its server in whatever state the last one left it, as in life."""
    with tempfile.TemporaryDirectory(prefix="pressroom-home-") as folder:
        yield Path(folder)
        stop_server(Path(folder))


@pytest.fixture
def new_home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pressroom-home-") as folder:
        yield Path(folder)
        stop_server(Path(folder))


def connect(home: Path) -> psycopg.Connection:
    url = ensure_server(home, idle_s=IDLE_S)
    return psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True)


def supervisors(home: Path) -> list[psutil.Process]:
    return [process for process in server_processes(home) if "pressroom.store.supervisor" in process.info["cmdline"]]


def server_processes(home: Path) -> list[psutil.Process]:
    folder = str(home.resolve() / "postgres")
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(folder in word for word in process.info["cmdline"] or []):
            found.append(process)
    return found


def wait_until(condition: Callable[[], bool], within_s: float, otherwise: str) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)


def test_the_first_call_starts_a_server_and_the_next_finds_it(home: Path) -> None:
    assert not server_status(home).running
    first = ensure_server(home, idle_s=IDLE_S)
    begin = time.monotonic()
    assert ensure_server(home, idle_s=IDLE_S) == first
    assert time.monotonic() - begin < 0.2
    status = server_status(home)
    assert status.running
    assert status.version
    assert status.version.startswith("18.")
    with connect(home) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("pressroom",)
        assert connection.execute("SELECT current_setting('fsync')").fetchone() == ("on",)


def test_stopping_leaves_no_process_and_keeps_every_row(home: Path) -> None:
    with connect(home) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    assert stop_server(home)
    assert server_processes(home) == []
    assert not stop_server(home), "a second stop finds nothing to do"
    with connect(home) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (7,)


def test_a_pipe_behind_the_starter_ends_with_it(home: Path) -> None:
    """`pressroom ... | cat` must end although the server it started lives on."""
    stop_server(home)
    code = (
        "import sys; from pathlib import Path; from pressroom.store.embedded import ensure_server; print(ensure_server(Path(sys.argv[1])))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(home)], capture_output=True, text=True, timeout=10, cwd=home)
    assert done.stdout.startswith("postgresql+psycopg://")
    assert done.stderr == ""
    assert server_status(home).running
    (supervisor,) = supervisors(home)
    assert supervisor.cwd() == "/", "somebody's folder could not be removed"


def test_a_server_killed_with_9_is_back_with_every_committed_row(home: Path) -> None:
    with connect(home) as connection:
        connection.execute("CREATE TABLE committed AS SELECT 8 AS number")
        pid = server_status(home).pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        begin = time.monotonic()
        with connect(home) as again:
            assert again.execute("SELECT number FROM committed").fetchone() == (8,)
        assert time.monotonic() - begin < 10


def test_a_server_killed_with_9_comes_back_although_a_statement_still_runs(home: Path) -> None:
    """A busy backend outlives its postmaster and keeps the shared memory, which keeps a new postmaster from starting."""

    def count() -> None:
        with pytest.raises(psycopg.Error), connect(home) as busy:
            busy.execute("SELECT count(*) FROM generate_series(1, 1000000000) a")

    ensure_server(home, idle_s=IDLE_S)
    counting = threading.Thread(target=count)
    counting.start()
    wait_until(lambda: bool(server_status(home).clients), 5, "the statement never ran")
    time.sleep(0.2)
    os.kill(server_status(home).pid or 0, signal.SIGKILL)
    begin = time.monotonic()
    ensure_server(home, idle_s=IDLE_S)
    assert time.monotonic() - begin < 10
    counting.join(10)
    assert not counting.is_alive()


def test_a_server_whose_supervisor_was_killed_gets_a_new_one(home: Path) -> None:
    ensure_server(home, idle_s=IDLE_S)
    pid = server_status(home).pid
    for supervisor in supervisors(home):
        supervisor.kill()
    wait_until(lambda: not [s for s in supervisors(home) if s.status() != psutil.STATUS_ZOMBIE], 5, "the supervisor was not killed")
    ensure_server(home, idle_s=IDLE_S)
    assert server_status(home).pid == pid, "the server itself never went away"
    wait_until(lambda: len(supervisors(home)) == 1, 5, "nobody would ever stop the server")
    time.sleep(0.5)
    assert stop_server(home)
    assert server_processes(home) == []


def test_a_pid_file_that_names_another_process_is_no_server(home: Path) -> None:
    """After a restart of the machine, or of a container, the old number may belong to anybody."""
    stop_server(home)
    data = home / "postgres" / "data"
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n1700000000\n5432\n{data}\n\n  1  1\nready   \n")
    with connect(home) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_the_supervisor_gives_way_to_a_term_signal(home: Path) -> None:
    ensure_server(home, idle_s=IDLE_S)
    for supervisor in supervisors(home):
        supervisor.terminate()
    wait_until(lambda: not server_processes(home), 10, "a shutdown of the machine would cut the server off")


def test_a_server_that_hangs_is_one_clear_line_that_names_the_log(home: Path) -> None:
    ensure_server(home, idle_s=IDLE_S)
    server = psutil.Process(server_status(home).pid)
    server.suspend()
    try:
        with pytest.raises(Transient, match=r"the embedded PostgreSQL in .* does not answer after 1 s; see .*server\.log"):
            ensure_server(home, idle_s=IDLE_S, within_s=1)
    finally:
        server.resume()


@pytest.mark.long
def test_eight_processes_at_once_get_one_server(new_home: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import psycopg; from pressroom.store.embedded import ensure_server;"
        "print('ready', flush=True); sys.stdin.readline();"
        "url = ensure_server(Path(sys.argv[1]), idle_s=60).replace('+psycopg', '');"
        "print(psycopg.connect(url).execute('SELECT pg_postmaster_start_time()').fetchone()[0])"
    )
    command = [sys.executable, "-c", code, str(new_home)]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    for process in started:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    answers = {process.communicate("go\n", timeout=30)[0] for process in started}
    assert len(answers) == 1
    assert answers != {""}
    assert len(supervisors(new_home)) == 1


@pytest.mark.long
def test_control_c_in_the_starter_leaves_the_server_to_the_others(new_home: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from pressroom.store.embedded import ensure_server;"
        "print(ensure_server(Path(sys.argv[1]), idle_s=60), flush=True); time.sleep(60)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", code, str(new_home)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert starter.stdout
    assert starter.stdout.readline()
    os.killpg(starter.pid, signal.SIGINT)
    starter.communicate(timeout=10)
    assert server_status(new_home).running


@pytest.mark.long
def test_an_idle_server_stops_and_a_used_one_does_not(new_home: Path) -> None:
    url = ensure_server(new_home, idle_s=0.5)
    with psycopg.connect(url.replace("+psycopg", "")):
        time.sleep(1.5)
        assert server_status(new_home).running
    wait_until(lambda: not server_processes(new_home), 5, "the server stays for ever")


@pytest.mark.long
def test_a_server_ends_when_its_folder_is_gone(new_home: Path) -> None:
    ensure_server(new_home, idle_s=IDLE_S)
    shutil.rmtree(new_home / "postgres", ignore_errors=True)
    shutil.rmtree(new_home / "postgres", ignore_errors=True)
    wait_until(lambda: not server_processes(new_home), 5, "a server without a folder stays for ever")


@pytest.mark.long
def test_a_deep_folder_with_an_odd_name_gets_a_short_socket(new_home: Path) -> None:
    """A socket's path may have about 100 characters."""
    deep = new_home / "Ünder 100% & more?" / ("x" * 90)
    with connect(deep) as connection:
        (folder,) = connection.execute("SHOW unix_socket_directories").fetchone() or ("",)
    assert len(folder) < 100
    assert Path(folder).stat().st_mode & 0o077 == 0, "others on this machine could connect"
    stop_server(deep)
    assert not Path(folder).exists()


def test_a_home_that_cannot_be_written_is_one_line_that_names_the_setting(tmp_path: Path) -> None:
    taken = tmp_path / "home"
    taken.write_text("a file where the folder should be")
    with pytest.raises(BadInput, match=r"PRESSROOM_HOME: cannot write in .*/home") as caught:
        ensure_server(taken)
    assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match="PRESSROOM_HOME"):
        ensure_server(taken / "below")


def test_a_socket_is_all_that_listens(home: Path) -> None:
    """No TCP port: nobody on the network, and no clash with another PostgreSQL on 5432."""
    ensure_server(home, idle_s=IDLE_S)
    listening = psutil.Process(server_status(home).pid).net_connections("all")
    assert {connection.family for connection in listening} == {socket.AF_UNIX}
