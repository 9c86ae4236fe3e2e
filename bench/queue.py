"""Videos screened in a minute by one run at a time, by two and by four: `python -m bench.queue`.

Each run is the job `screen_video` in a process that stays, on Dagster's real instance, with the detectors of this machine; the runs of a
level are as many as max_concurrent_runs would let go at once. All videos have the same pictures and words, and no two the same bytes. A
level has 20 videos queued and takes new ones for 25 s.
"""

import datetime as dt
import multiprocessing
import os
import struct
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path

from bench import parts
from cli.executing import dagster_instance, execute_video
from pressroom.compliance.intake import look
from pressroom.objects.days import dated
from pressroom.objects.store import FolderStore
from pressroom.store.engine import Store
from tests import videos
from tests.samples import SITE, site_applied

NAME = "queue"
LEVELS, QUEUED, TAKES_FOR_S = (1, 2, 4), 20, 25.0
LEAST_OF_CORES = 0.85  # of the cores that a level could use: then they are full
TEXT = "Guaranteed returns"


def film(path: Path) -> Path:
    """Four seconds with words burnt in and a voice."""
    painter = videos.with_text(TEXT, videos.moving, end_s=2)
    return videos.make(path, videos.Clip(painter, 4, fps=5, size=(640, 360), sound=videos.Sound(videos.voice(4))))


def uploaded(store: Store, folder: Path, count: int) -> list[str]:
    """So many videos put into the bucket and booked, by key: one film, with a box behind it that no player looks at."""
    objects, content = FolderStore(folder / "objects"), film(folder / "film.mp4").read_bytes()
    now = dt.datetime.now(dt.UTC)
    for number in range(count):
        objects.write(f"{dated(now.date())}{SITE.slug}/{number:03d}.mp4", content + struct.pack(">I4sI", 12, b"free", number))
    later = now + dt.timedelta(minutes=1)  # when files that were just written count as whole
    return look(store, objects, after=dated(now.date()), now=later, most=count).waiting


def work(told: Connection, folder: Path) -> None:
    """A process that screens each video whose key comes, and answers with the CPU seconds of that, its children's included."""
    os.chdir(folder)  # for its dagster.yaml
    with dagster_instance() as instance:
        while key := told.recv():
            before = sum(os.times()[:4])
            outcome = execute_video("screen_video", instance, key)
            if not outcome.ok:
                told.send(outcome.problem)
                return
            told.send(sum(os.times()[:4]) - before)


def screen(workers: Sequence[Connection], keys: list[str], *, takes_for_s: float) -> tuple[int, float, float]:
    """Runs done by these workers, the seconds until the last one was, and the cores that they kept busy."""
    begin, done, last, cpu, busy = time.perf_counter(), 0, 0.0, 0.0, set(workers)
    for worker in workers:
        worker.send(keys.pop())
    while busy:
        for ready in wait(list(busy)):
            assert isinstance(ready, Connection)
            if isinstance(answer := ready.recv(), str):
                raise SystemExit(f"bench: a run failed: {answer}")
            done, last, cpu = done + 1, time.perf_counter() - begin, cpu + answer
            if keys and last < takes_for_s:
                ready.send(keys.pop())
            else:
                busy.remove(ready)
    return done, last, cpu / last


def main() -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    with parts.home() as home, parts.store_in(home) as store:
        (home / "dagster.yaml").write_text((parts.ROOT / "dagster.yaml").read_text(encoding="utf-8"), encoding="utf-8")
        os.environ |= {"PRESSROOM_HOME": str(home), "PRESSROOM_INFERENCE": "local", "PYTHONPATH": str(parts.ROOT)}
        with store.transaction() as session:
            site_applied(session)
        os.chdir(home)
        with dagster_instance():  # two processes that make its tables at once make them twice
            keys = uploaded(store, home, max(LEVELS) + QUEUED * len(LEVELS))
        workers, processes = [], []
        try:
            for _ in range(max(LEVELS)):
                ours, theirs = context.Pipe()
                processes.append(context.Process(target=work, args=(theirs, home)))
                processes[-1].start()
                theirs.close()
                workers.append(ours)
            screen(workers, [keys.pop() for _ in workers], takes_for_s=0)  # what is loaded once is there
            alone = 0.0
            for level in LEVELS:
                done, seconds, busy = screen(workers[:level], [keys.pop() for _ in range(QUEUED)], takes_for_s=TAKES_FOR_S)
                rate = 60 * done / seconds
                alone = alone or rate
                could = min(level, cores)
                parts.line(
                    NAME,
                    f"{level} at once: {done} of {QUEUED} videos in {seconds:.0f} s, {rate:.1f} a minute, {busy:.2f} of {cores} cores busy",
                    f"{rate / alone:.2f} × one at a time",
                    target=f"≥ {LEAST_OF_CORES * could:.2f} ×, or all cores busy" if level > 1 else "",
                    met=rate / alone >= LEAST_OF_CORES * could or busy >= LEAST_OF_CORES * cores,
                )
        finally:
            for process in processes:
                process.kill()
                process.join()


if __name__ == "__main__":
    main()
