"""What breaks under a run: the person sees one line, nothing is lost, and the same command run again completes."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from pressroom.store.embedded import server_status, stop_server
from pressroom.store.engine import Store
from simulators.openai import OpenAISimulator
from tests.dagster.conftest import Desk, Running
from tests.telling import told

MakeDesk = Callable[..., Desk]
RUN = ("run", "brew", "--date", "2026-11-20", "--json", "--keywords", "keywords.csv")


def wait_for_calls(endpoint: OpenAISimulator, running: Running, number: int) -> None:
    while endpoint.count < number:
        assert not running.has_ended, running.wait().stderr
        time.sleep(0.02)


@pytest.mark.long
def test_a_refused_key_is_told_after_one_request_and_the_right_one_completes(desk: MakeDesk, endpoint: OpenAISimulator) -> None:
    brew = desk(endpoint)
    endpoint.key = "sk-right-9876543210"
    told(brew.pressroom(*RUN), 3, "401", "the key is wrong", "OPENAI_API_KEY")
    brew.environment["OPENAI_API_KEY"] = endpoint.key
    assert len(brew.run("--keywords", "keywords.csv")["drafts"]) == 9


@pytest.mark.long
def test_an_endpoint_that_is_down_is_told_after_the_gateways_tries(desk: MakeDesk, endpoint: OpenAISimulator) -> None:
    """The step's own retries, after 20 and 40 s, are for runs that nobody waits for."""
    brew = desk(endpoint)
    brew.environment["OPENAI_BASE_URL"] = "http://127.0.0.1:9/v1"
    began = time.monotonic()
    document = told(brew.pressroom(*RUN), 3, "127.0.0.1:9", "OPENAI_BASE_URL", "run it again")
    assert time.monotonic() - began < 20, "the command waited for the step's own retries"
    assert (document["counts"]["keywords"], document["drafts"]) == (36, [])
    assert Path(document["report"]["html"]).is_file(), "a bad day has a report too"
    brew.environment["OPENAI_BASE_URL"] = endpoint.base_url
    again = brew.run("--keywords", "keywords.csv")
    assert (len(again["drafts"]), again["calls"]["paid"]) == (9, 10)


@pytest.mark.long
def test_an_outage_in_the_middle_of_the_drafts_keeps_what_came(desk: MakeDesk, endpoint: OpenAISimulator, store: Store) -> None:
    brew = desk(endpoint)
    for platform in ("on LinkedIn", "on Instagram"):
        endpoint.fail("503", times=None, containing=platform)
    done = brew.pressroom(*RUN)
    assert (done.returncode, done.stderr) == (0, ""), "single drafts that are missing are in the output and in the report"
    endpoint.failures.clear()
    with store.transaction() as session:  # after so many failures the endpoint is left alone for up to a minute: that passes here at once
        session.execute(sa.text("UPDATE model_lanes SET state = '{}'"))
    assert len(brew.run("--keywords", "keywords.csv")["drafts"]) == 9
    assert endpoint.paid_twice == 0


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_ctrl_c_ends_a_run_within_seconds_and_the_next_one_completes(
    desk: MakeDesk, endpoint: OpenAISimulator, store: Store, number: signal.Signals
) -> None:
    brew = desk(endpoint)
    endpoint.latency = 0.8
    running = brew.start(*RUN)
    wait_for_calls(endpoint, running, 3)
    assert running.process.pid
    os.kill(running.process.pid, number)
    told(running.wait(30), 5, "cancelled", "run it again")
    endpoint.latency = 0
    assert len(brew.run("--keywords", "keywords.csv")["drafts"]) == 9
    assert endpoint.paid_twice == 0, "what was on its way at the end was booked"
    with store.transaction() as session:
        states = session.scalars(sa.text("SELECT state FROM automation_runs ORDER BY started_at")).all()
    assert states == ["failed", "completed"]


@pytest.mark.long
@pytest.mark.parametrize("calls", [1, 2, 5])  # 1: an async step, whose coroutine nobody ends
def test_ctrl_c_is_heeded_wherever_the_run_is(desk: MakeDesk, endpoint: OpenAISimulator, calls: int) -> None:
    brew = desk(endpoint)
    endpoint.latency = 0.3
    brew.environment["PRESSROOM_LLM_MAX_IN_FLIGHT"] = "2"
    running = brew.start(*RUN)
    wait_for_calls(endpoint, running, calls)
    assert running.process.pid
    os.kill(running.process.pid, signal.SIGINT)
    told(running.wait(30), 5, "cancelled", "run it again")
    assert len(brew.run("--keywords", "keywords.csv")["drafts"]) == 9
    assert endpoint.paid_twice == 0


def on_its_own_server(brew: Desk, home: Path) -> None:
    del brew.environment["PRESSROOM_DATABASE_URL"]
    brew.environment["PRESSROOM_HOME"] = str(home)
    applied = brew.pressroom("site", "apply", "site.yaml")
    assert applied.returncode == 0, applied.stderr


@pytest.mark.long
@pytest.mark.parametrize("calls", [1, 4, 8])
def test_the_embedded_server_killed_while_a_run_writes_costs_no_row_and_no_answer(
    desk: MakeDesk, endpoint: OpenAISimulator, tmp_path: Path, calls: int
) -> None:
    brew = desk(endpoint)
    home = tmp_path / "own"
    try:
        on_its_own_server(brew, home)
        endpoint.latency = 0.5
        brew.environment["PRESSROOM_LLM_MAX_IN_FLIGHT"] = "2"
        running = brew.start(*RUN)
        wait_for_calls(endpoint, running, calls)
        server = server_status(home).pid
        assert server
        os.kill(server, signal.SIGKILL)
        done = running.wait()
        if done.returncode:
            told(done, 3, "PostgreSQL")
        else:
            assert done.stderr == ""
        document = brew.run("--keywords", "keywords.csv")
        assert (len(document["ideas"]), len(document["drafts"])) == (3, 9)
        assert endpoint.paid_twice == 0, "an answer that had come was asked for again"
    finally:
        stop_server(home)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    privileged = [] if os.geteuid() == 0 else ["sudo", "-n"]
    mounted = subprocess.run([*privileged, "mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "tmpfs", folder], check=False)
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run([*privileged, "umount", "-l", folder], check=True)


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65_536, 512):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler


@pytest.mark.long
def test_a_disk_too_small_for_a_database_is_refused_before_one_is_begun(desk: MakeDesk, tmp_path: Path) -> None:
    brew = desk()
    del brew.environment["PRESSROOM_DATABASE_URL"]
    with small_disk(tmp_path / "small", "50m") as home:
        brew.environment["PRESSROOM_HOME"] = str(home)
        assert told(brew.pressroom(*RUN), 2, "PRESSROOM_HOME", "52 MB free", "needs 100 MB") is None
        assert list((home / "postgres").iterdir()) == []


@pytest.mark.long
def test_a_disk_that_fills_up_is_told_and_with_room_again_the_same_command_completes(
    desk: MakeDesk, endpoint: OpenAISimulator, tmp_path: Path
) -> None:
    """Full before the run, full while it writes, and full when the embedded server should start."""
    brew = desk(endpoint)
    with small_disk(tmp_path / "small", "140m") as home:
        try:
            on_its_own_server(brew, home)
            filler = fill(home)
            assert told(brew.pressroom(*RUN), 3, "PRESSROOM_HOME", "No space left") is None
            filler.unlink()

            endpoint.latency = 0.5
            brew.environment["PRESSROOM_LLM_MAX_IN_FLIGHT"] = "2"
            running = brew.start(*RUN)
            wait_for_calls(endpoint, running, 4)
            filler = fill(home)
            told(running.wait(), 3, "PRESSROOM_HOME")
            brew.pressroom("db", "stop")
            assert told(brew.pressroom(*RUN), 2, "PRESSROOM_HOME") is None  # "is full" or "No space left": as far as the start came
            filler.unlink()

            endpoint.latency = 0
            assert len(brew.run("--keywords", "keywords.csv")["drafts"]) == 9
        finally:
            stop_server(home)


@pytest.mark.long
def test_a_full_folder_of_dagsters_is_told(desk: MakeDesk, tmp_path: Path) -> None:
    brew = desk()
    with small_disk(tmp_path / "small", "2m") as home:
        (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        brew.environment["DAGSTER_HOME"] = str(home)
        filler = fill(home)
        assert told(brew.pressroom(*RUN), 2, "DAGSTER_HOME", "full") is None
        filler.unlink()
        assert len(brew.run("--keywords", "keywords.csv")["drafts"]) == 9


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="a folder that not even root may write into is only known for Linux")
def test_a_home_that_cannot_be_written_is_told(desk: MakeDesk) -> None:
    brew = desk()
    brew.environment["PRESSROOM_HOME"] = "/sys/kernel/pressroom"
    assert told(brew.pressroom(*RUN), 3, "PRESSROOM_HOME", "cannot be written") is None
    del brew.environment["PRESSROOM_DATABASE_URL"]
    assert told(brew.pressroom(*RUN), 2, "PRESSROOM_HOME", "cannot write in /sys/kernel/pressroom") is None


@pytest.mark.long
def test_a_report_that_cannot_be_written_is_told_and_the_next_run_writes_it(desk: MakeDesk) -> None:
    brew = desk()
    reports = brew.folder / "home" / "objects" / "sites" / "brew" / "reports"
    reports.parent.mkdir(parents=True)
    reports.write_text("a file in the way")
    document = told(brew.pressroom(*RUN), 3, "report.html", "cannot be written")
    assert (len(document["drafts"]), document["report"]) == (9, None)
    reports.unlink()
    assert Path(brew.run()["report"]["html"]).is_file()
