"""The same 15 drafts by the design that Pressroom replaces: `python -m bench.celery_drafts`.

One Celery task for each draft on Redis (`bench/celery_tasks.py`), with as many worker processes as a machine of two cores is given, and
with one for each draft. Measured is the time from handing the tasks in to the last row in the database, by a worker that is up; beside
it Pressroom's step. Then both are killed with kill -9 of the whole process group, as by a lost machine, started again and left to finish:
once with two calls in flight and six drafts done, once with fifteen in flight and a third of them in their second round. The endpoint
counts what it answered twice: an answer on its way is lost with the machine, one that had come need not be.

Redis and Celery serve this benchmark only (their versions are in `requirements-bench.lock`); without them it is left out.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from bench import drafts, parts
from pressroom.store.engine import Store
from pressroom.store.tables import DraftRow

NAME = "celery_drafts"
ROUNDS = 2
COUNT = drafts.IDEAS * 3
CONCURRENCIES = (2, 15)  # the default on two cores; a process for each draft
# Seconds after which Redis hands the tasks of a dead worker on; Celery's default is 3,600.
VISIBILITY_S = 10
WITHIN_S = 120.0
MB = 1_000_000


@dataclass(frozen=True)
class Queue:
    """One Redis, with one database and one endpoint behind the workers."""

    broker: str
    folder: Path
    store: Store
    endpoint: parts.Endpoint

    def environment(self, *, acks_late: bool) -> dict[str, str]:
        settings = {"PRESSROOM_HOME": str(self.folder), "OPENAI_BASE_URL": self.endpoint.base_url}
        own = {"BENCH_BROKER": self.broker, "BENCH_READY": str(self.folder / "ready"), "BENCH_VISIBILITY_S": str(VISIBILITY_S)}
        return parts.environment(**settings, **own, BENCH_ACKS_LATE=str(int(acks_late)))

    def redis(self) -> Any:
        import redis

        return redis.Redis.from_url(self.broker.replace("redis+socket", "unix"))

    def prepare(self) -> None:
        from bench.celery_tasks import TABLE

        with self.store.transaction() as session:
            session.execute(sa.text(TABLE))

    def hand_in(self) -> None:
        from bench.celery_tasks import app, draft

        app.conf.broker_url = self.broker
        for brief, platform in drafts.work():
            draft.delay(brief.model_dump(mode="json"), platform.slug)

    def stored(self) -> int:
        with self.store.transaction() as session:
            return int(session.scalar(sa.text("SELECT count(*) FROM queued_drafts")) or 0)

    def is_idle(self) -> bool:
        """Whether no task waits, none is held for a worker, dead or alive, and nobody asks the endpoint."""
        with self.redis() as redis:
            return not redis.llen("celery") and not redis.hlen("unacked") and not self.endpoint.stats()["in_flight"]

    def clear(self) -> None:
        with self.redis() as redis:
            redis.flushall()
        with self.store.transaction() as session:
            session.execute(sa.text("TRUNCATE queued_drafts"))
        self.endpoint.reset()


@dataclass(frozen=True)
class Killed:
    """What a kill in the middle cost: drafts stored in the end, answers paid twice, the calls in flight at the kill, seconds from the
    restart to the end, and tasks that Redis held for the dead worker."""

    stored: int
    paid_twice: int
    in_flight: int
    seconds: float
    held: int = 0

    @property
    def come(self) -> int:
        """Answers paid twice that had come before the kill."""
        return max(0, self.paid_twice - self.in_flight)


@contextmanager
def redis_server() -> Iterator[str]:
    """URL of a Redis of our own on a socket, which keeps nothing on the disk."""
    with tempfile.TemporaryDirectory(prefix="redis-") as place:
        socket = Path(place) / "redis.sock"
        command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no", "--dir", place]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                parts.wait_until(socket.exists, within_s=WITHIN_S, what="redis-server did not start")
                yield f"redis+socket://{socket}"
            finally:
                server.terminate()


@contextmanager
def worker(queue: Queue, concurrency: int, *, acks_late: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that is up, in a process group of its own."""
    ready = queue.folder / "ready"
    ready.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "bench.celery_tasks",
        "worker",
        "--concurrency",
        str(concurrency),
        "--loglevel",
        "ERROR",
    ]
    environment = queue.environment(acks_late=acks_late)
    with (queue.folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=queue.folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        parts.wait_until(lambda: ready.exists() or process.poll() is not None, within_s=WITHIN_S, what="the worker is not up")
        if process.poll() is not None:
            raise SystemExit(f"bench.{NAME}: the worker did not start: {(queue.folder / 'worker.log').read_text()[-500:]}")
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[Any]) -> None:
    """kill -9 of the process and all of its group."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def memory_mb(*family: psutil.Process) -> float:
    """MB that the processes have, with what they share counted once for all of them (on Linux; elsewhere not at all)."""
    taken = [each.memory_full_info() for each in family]
    return float(sum(getattr(each, "pss", each.uss) for each in taken)) / MB


def timed(queue: Queue, concurrency: int) -> tuple[float, list[float], float]:
    """Seconds until the worker is up, seconds of each round, and the worker's MB at the end. A first round, unmeasured, opens what is
    opened once."""
    begin = time.perf_counter()
    with worker(queue, concurrency) as process:
        start = time.perf_counter() - begin
        seconds = []
        for _ in range(1 + ROUNDS):
            queue.clear()
            begin = time.perf_counter()
            queue.hand_in()
            parts.wait_until(lambda: queue.stored() == COUNT, within_s=WITHIN_S, what="the tasks are not done")
            seconds.append(time.perf_counter() - begin)
        parent = psutil.Process(process.pid)
        return start, seconds[1:], memory_mb(parent, *parent.children(recursive=True))


def await_middle(endpoint: parts.Endpoint, requests: int) -> None:
    """Waits for the moment of the kill: a quarter of a latency after so many requests have come."""
    parts.wait_until(lambda: endpoint.stats()["requests"] >= requests, within_s=WITHIN_S, what="the calls did not go out")
    time.sleep(drafts.LATENCY_S / 4)


def killed_worker(queue: Queue, in_flight: int, requests: int, *, acks_late: bool) -> Killed:
    """What it costs to kill a worker of `in_flight` processes after so many `requests`, and to start another one."""
    queue.clear()
    with worker(queue, in_flight, acks_late=acks_late) as process:
        queue.hand_in()
        await_middle(queue.endpoint, requests)
        kill(process)
        lost = queue.endpoint.stats()["in_flight"]  # the endpoint goes on with what nobody waits for any more
    with queue.redis() as redis:
        held = redis.hlen("unacked")
    # A worker looks for tasks of the dead when it starts, and then every hundred seconds.
    time.sleep(VISIBILITY_S + 1 if held else 0)
    begin = time.perf_counter()
    with worker(queue, in_flight, acks_late=acks_late):
        parts.wait_until(lambda: _twice(queue.is_idle), within_s=WITHIN_S, what="the tasks are not done", look_every_s=0.1)
        return Killed(queue.stored(), queue.endpoint.stats()["paid_twice"], lost, time.perf_counter() - begin, held)


def killed_step(folder: Path, store: Store, endpoint: parts.Endpoint, in_flight: int, requests: int) -> Killed:
    """The same kill of Pressroom's step, in a process of its own with as many calls in flight."""
    with store.transaction() as session:
        session.execute(sa.text("TRUNCATE model_calls CASCADE"))
    drafts.prepare(store)
    endpoint.reset()
    environment = parts.environment(PRESSROOM_HOME=str(folder), OPENAI_BASE_URL=endpoint.base_url)
    command = [sys.executable, "-c", f"from bench.drafts import write_alone; write_alone({in_flight})"]
    process = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)
    try:
        await_middle(endpoint, requests)
    finally:
        kill(process)
    lost = endpoint.stats()["in_flight"]
    begin = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True)
    seconds = time.perf_counter() - begin
    with store.transaction() as session:
        stored = int(session.scalar(sa.select(sa.func.count()).select_from(DraftRow)) or 0)
    return Killed(stored, endpoint.stats()["paid_twice"], lost, seconds)


def kills(folder: Path, store: Store, broker: str, *, in_flight: int, requests: int, rounds: int) -> None:
    """Prints what the same kill costs each design."""
    answers = {"answers": "bench.second_try:answers"} if rounds == 2 else {}
    when = f"kill -9 with {in_flight} in flight, {'a third in their second round' if rounds == 2 else 'six drafts done'}"
    with parts.endpoint(drafts.LATENCY_S, **answers) as endpoint:
        queue = Queue(broker, folder, store, endpoint)
        for acks_late in (False, True):
            tell(f"{when}: Celery, acks {'late' if acks_late else 'early'}", killed_worker(queue, in_flight, requests, acks_late=acks_late))
        tell(f"{when}: Pressroom", killed_step(folder, store, endpoint, in_flight, requests))


def tell(what: str, killed: Killed) -> None:
    waits = f", after Redis had held {killed.held} tasks for {VISIBILITY_S} s (by default 3,600)" if killed.held else ""
    told = f"{COUNT - killed.stored} of {COUNT} drafts lost, {killed.paid_twice} answers paid twice, {killed.come} of which had come"
    parts.line(NAME, f"{what}: {told}; done {killed.seconds:.1f} s after the restart{waits}")


def missing() -> str:
    """What there is to install, or nothing."""
    found = {
        "redis-server (apt install redis-server, brew install redis)": shutil.which("redis-server"),
        "celery and redis (make bench installs them; or pip install -r requirements-bench.lock)": importlib.util.find_spec("celery")
        and importlib.util.find_spec("redis"),
    }
    return " and ".join(name for name, there in found.items() if not there)


def main() -> None:
    if what := missing():
        print(f"bench.{NAME}: left out; it needs {what}")
        return
    with parts.home() as home, parts.store_in(home) as store, redis_server() as broker:
        drafts.prepare(store)
        with parts.endpoint(drafts.LATENCY_S) as endpoint:
            ours = min(drafts.step(store, endpoint.base_url)[0])
            our_memory = memory_mb(psutil.Process())
            queue = Queue(broker, home, store, endpoint)
            queue.prepare()
            with worker(queue, 1):
                pass  # the first start compiles what it imports
            for concurrency in CONCURRENCIES:
                start, seconds, memory = timed(queue, concurrency)
                parts.line(
                    NAME,
                    f"{COUNT} drafts by Celery, {concurrency} processes: {min(seconds):.2f} s, {memory:,.0f} MB, up after {start:.1f} s",
                    f"{min(seconds) / ours:.2f} × write_drafts' {ours:.2f} s, {memory / our_memory:.1f} × its {our_memory:,.0f} MB",
                )
        kills(home, store, broker, in_flight=2, requests=8, rounds=1)
        kills(home, store, broker, in_flight=COUNT, requests=COUNT + COUNT // 3, rounds=2)


def _twice(holds: Callable[[], bool]) -> bool:
    """Whether it holds, and still does half a second later: between the queue and the endpoint a task is nowhere to be seen."""
    if not holds():
        return False
    time.sleep(0.5)
    return holds()


if __name__ == "__main__":
    main()
