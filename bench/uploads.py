"""A tick of the sensor over a bucket of a million objects, and ticks that are killed half-way: `python -m bench.uploads`.

The bucket makes up its listing and counts the calls; the database is real, and so are Dagster's instance and the sensor. Ticks run in
processes of their own, forked from one that has imported what a code server has when it has ticked once.
"""

import datetime as dt
import multiprocessing
import os
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from bench import parts
from pressroom.compliance.intake import FRESH_DAYS, LOOK_BACK_DAYS
from pressroom.objects.days import dated
from pressroom.store.engine import Store
from pressroom.store.tables import VideoRow
from tests.objects.wire import Crowded
from tests.samples import SITE, site_applied

NAME = "uploads"
OBJECTS, A_DAY, NEW = 1_000_000, 250, 200
KILLS = 10
MOST_CALLS, MOST_S, MOST_CURSOR = 5, 2.0, 4096
ROUNDS = 2
PRELOADED = ["definitions", "cli.executing", "pressroom.objects.s3", "bench.uploads"]
TODAY = dt.datetime.now(dt.UTC).date()


def key_of(number: int) -> str:
    """The uploads of eleven years, 250 a day up to yesterday, and today's new ones."""
    old = OBJECTS - NEW
    if number >= old:
        return f"{dated(TODAY)}{SITE.slug}/new-{number - old:04d}.mp4"
    days = -(-old // A_DAY)
    return f"{dated(TODAY - dt.timedelta(days=days - number // A_DAY))}{SITE.slug}/{number % A_DAY:04d}.mp4"


class Tick(NamedTuple):
    """What a tick came to: the run keys and partitions that it asks for, its cursor, and seconds; `own` are those of the sensor's function
    alone, called once more: the rest is Dagster's, which looks up each request's partition by itself."""

    run_keys: list[str]
    partitions: list[str]
    cursor: str
    seconds: float
    own: float


def tick(cursor: str | None) -> Tick:
    """Evaluates the sensor as the daemon does, in this process."""
    from dagster import build_sensor_context, partition_loading_context

    from cli.executing import dagster_instance
    from definitions import defs
    from resources.objects import ObjectsResource
    from resources.store import StoreResource
    from sensors.new_uploads import new_uploads

    with dagster_instance() as instance:
        begin = time.perf_counter()
        resources = {"store": StoreResource(), "objects": ObjectsResource()}
        with (
            build_sensor_context(instance=instance, definitions=defs, resources=resources, cursor=cursor) as context,
            partition_loading_context(dynamic_partitions_store=instance),
        ):
            found = defs.resolve_sensor_def("new_uploads").evaluate_tick(context)
            seconds, begin = time.perf_counter() - begin, time.perf_counter()
            new_uploads(context)
            own = time.perf_counter() - begin
    requests = found.run_requests or []
    return Tick([str(it.run_key) for it in requests], [str(it.partition_key) for it in requests], found.cursor or "", seconds, own)


def ticks(told: Connection, cursors: list[str | None]) -> None:
    """The work of a process: says that it begins, and after each tick what came of it. A cursor of None looks back over the window."""
    os.chdir(os.environ["BENCH_FOLDER"])  # for its dagster.yaml
    told.send("begins")
    for cursor in cursors:
        told.send(tick(cursor))


@contextmanager
def ticking(*cursors: str | None) -> Iterator[tuple[Any, Connection]]:
    """A process that has begun with these ticks, and what it says."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=ticks, args=(theirs, list(cursors)))
    process.start()
    theirs.close()
    try:
        assert ours.recv() == "begins"
        yield process, ours
    finally:
        process.kill()
        process.join()
        ours.close()


def one_tick(cursor: str | None) -> Tick:
    with ticking(cursor) as (_, told):
        found: Tick = told.recv()
    return found


def booked(store: Store) -> list[str]:
    """Keys of today's videos that are booked."""
    with store.transaction() as session:
        return list(session.scalars(sa.select(VideoRow.key).where(VideoRow.object_key >= dated(TODAY)).order_by(VideoRow.key)))


def partitions() -> list[str]:
    """The partitions of videos in Dagster's instance."""
    from cli.executing import dagster_instance
    from content_assets.partitions import VIDEOS

    with dagster_instance() as instance:
        return list(instance.get_dynamic_partitions(VIDEOS))


def forget(store: Store) -> None:
    """As before the first tick: no video is booked, and no partition there. The older uploads of the window have been screened."""
    with store.transaction() as session:
        session.execute(sa.delete(VideoRow).where(VideoRow.object_key >= dated(TODAY)))
    with instance_file() as file:  # the instance itself deletes one at a time: 200 waits for the disk
        file.execute("DELETE FROM dynamic_partitions WHERE partitions_def_name = 'videos'")


def screened(store: Store) -> None:
    """All that is booked so far has been screened."""
    with store.transaction() as session:
        session.execute(sa.update(VideoRow).values(state="completed"))


def is_exact(store: Store, found: Tick) -> bool:
    """Whether each new upload is booked once, has one partition, and one run asked for under its own key."""
    keys = booked(store)
    return len(keys) == NEW and keys == sorted(found.run_keys) == sorted(found.partitions) == sorted(partitions())


def costs(store: Store, bucket: Crowded) -> float:
    """Lines: calls, seconds and cursor of ticks in a process that stays. Returns the seconds of one that finds the new uploads."""
    now = dt.datetime.now(dt.UTC).isoformat()
    cases: dict[str, str | None] = {"first tick of a process": None, f"{LOOK_BACK_DAYS} days back": None, f"{FRESH_DAYS} day back": now}
    warm: dict[str, list[float]] = {name: [] for name in cases}
    own: list[float] = []
    calls, cursor, exact = dict.fromkeys(cases, 0), 0, True
    for _ in range(ROUNDS):
        forget(store)
        with ticking(*cases.values()) as (_, told):
            for name in cases:
                before = bucket.calls
                found: Tick = told.recv()
                calls[name] = max(calls[name], (bucket.calls - before) // 2)  # the sensor is called twice
                own.append(found.own)
                warm[name].append(found.seconds)
                cursor, exact = max(cursor, len(found.cursor.encode())), exact and len(set(found.run_keys)) == NEW
        exact = exact and is_exact(store, found)
    for name, seconds in warm.items():
        median = statistics.median(seconds)
        parts.line(
            f"{NAME}.tick",
            f"{name}, {OBJECTS:,} objects, {NEW} new: {calls[name]} list calls, {median:.2f} s",
            target=f"≤ {MOST_CALLS} calls, ≤ {MOST_S:g} s",
            met=calls[name] <= MOST_CALLS and median <= MOST_S,
        )
    parts.line(
        f"{NAME}.own", f"the sensor's function alone: {statistics.median(own):.2f} s", target=f"≤ {MOST_S:g} s", met=max(own) <= MOST_S
    )
    parts.line(f"{NAME}.cursor", f"{cursor} bytes", target=f"< {MOST_CURSOR}", met=cursor < MOST_CURSOR)
    parts.line(f"{NAME}.found", f"{NEW} new uploads in one tick", "each once" if exact else "not each once", target="each once", met=exact)
    return statistics.median(warm["first tick of a process"])


@contextmanager
def in_the_booking(store: Store) -> Iterator[Callable[[], bool]]:
    """The table of videos takes no row meanwhile: says whether a tick waits to write one."""
    waits = sa.text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'videos'::regclass)")
    with store.transaction() as session:
        session.execute(sa.text("LOCK TABLE videos IN SHARE MODE"))
        yield lambda: bool(session.scalar(waits))


@contextmanager
def before_the_partitions(store: Store) -> Iterator[Callable[[], bool]]:
    """Dagster's instance takes no partition meanwhile: says whether the uploads are booked."""
    with instance_file() as file:
        file.execute("BEGIN IMMEDIATE")
        yield lambda: len(booked(store)) == NEW


@contextmanager
def before_the_runs(store: Store) -> Iterator[Callable[[], bool]]:
    """Says whether the partitions are there. What the tick asks for then, nobody hears."""
    with instance_file() as file:
        yield lambda: file.execute("SELECT count(*) FROM dynamic_partitions WHERE partitions_def_name = 'videos'").fetchone()[0] == NEW


def instance_file() -> AbstractContextManager[sqlite3.Connection]:
    """The file in which Dagster's instance keeps its partitions."""
    (path,) = Path(os.environ["BENCH_FOLDER"]).rglob("index.db")
    return closing(sqlite3.connect(path, isolation_level=None))


# Where a tick is killed, and what it has left there: videos booked and partitions.
POINTS = {
    "in the booking": (in_the_booking, (0, 0)),
    "between booking and partitions": (before_the_partitions, (NEW, 0)),
    "between partitions and runs": (before_the_runs, (NEW, NEW)),
}


def killed_at_each_point(store: Store) -> None:
    """A line for each point: ticks killed there, each followed by one that is not."""
    for name, (point, leaves) in POINTS.items():
        exact = 0
        for _ in range(KILLS):
            forget(store)
            with point(store) as there, ticking(None) as (process, _):
                parts.wait_until(there, within_s=60, what=f"a tick {name}", look_every_s=0.001)
                process.kill()
                process.join()
            if (left := (len(booked(store)), len(partitions()))) != leaves:
                raise SystemExit(f"bench: a tick killed {name} left {left}, not {leaves}")
            exact += is_exact(store, one_tick(None))
        told_of(f"killed with -9 {name}", exact)


def killed_anywhere(store: Store, seconds: float) -> None:
    """A line: ticks killed at moments spread over their time, each followed by one that is not."""
    exact, stages = 0, []
    for number in range(KILLS):
        forget(store)
        with ticking(None) as (process, _):
            time.sleep(seconds * (number + 0.5) / KILLS)
            process.kill()
            process.join()
        stages.append((len(booked(store)), len(partitions())))
        exact += is_exact(store, one_tick(None))
    before, after = sum(not known for known, _ in stages), sum(there == NEW for _, there in stages)
    told_of(f"killed at moments over their time ({before} had booked nothing, {after} had added the partitions)", exact)


def told_of(what: str, exact: int) -> None:
    parts.line(
        f"{NAME}.killed",
        f"{KILLS} ticks {what}: the next tick has {NEW} uploads each once",
        f"{exact} of {KILLS} times",
        target=f"{KILLS} of {KILLS}",
        met=exact == KILLS,
    )


def environment(folder: Path, port: int) -> None:
    """The settings of the ticks, for this process and those that come from it."""
    (folder / "dagster.yaml").write_text((parts.ROOT / "dagster.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    os.environ |= {
        "PRESSROOM_HOME": str(folder),
        "PRESSROOM_STORE_URL": "s3://bench",
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "BENCH_FOLDER": str(folder),
    }
    os.chdir(folder)


def main() -> None:
    with parts.home() as home, parts.store_in(home) as store, Crowded(OBJECTS - NEW, key_of) as bucket:
        environment(home, bucket.port)
        with store.transaction() as session:
            site_applied(session)
        while len(one_tick(None).run_keys):  # the uploads of the days before
            screened(store)
        bucket.size = OBJECTS
        killed_anywhere(store, costs(store, bucket))
        killed_at_each_point(store)


if __name__ == "__main__":
    main()
