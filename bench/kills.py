"""A hundred runs of screenings that are killed with -9 at random moments: `python -m bench.kills`.

Each run is the job `screen_video` in a process of its own, on a Dagster instance and a PostgreSQL server of the bench; the simulated
Replicate is another process. A video's run is killed at a moment drawn over the length of a whole one, the next run takes it up and is
killed as well, and so on; then one run is left to its end. All videos have the same pictures and sound, and no two the same bytes, so that
each report has to be the one of a video whose run nobody killed.
"""

import argparse
import os
import random
import struct
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

from bench import hosted, parts
from pressroom.settings import load_settings
from pressroom.store.engine import Store
from tests.dagster import films
from tests.dagster.killing import killed, lost_creates, stored_ids
from tests.processes import PROCESSES

NAME = "kills"
KILLS, A_VIDEO, LATENCY_S = 100, 6, 0.3
PRELOADED = ["bench.hosted", "tests.dagster.killing", "numpy", "tenacity.asyncio", "pressroom.llm.opening", "pressroom.inference.opening"]
SPARE = 1.5  # a run that has ended before its moment is no kill: more videos than would do without such
# What differs between videos with the same pictures, and what a second run changes although it found nothing new.
OWN = ("version", "video", "duplicates", "cost", "timings")


def videos(folder: Path, count: int) -> list[Path]:
    """One film in so many files, each with a box behind it that no player looks at."""
    content = films.film(folder).read_bytes()
    paths = [folder / f"{number:03d}.mp4" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(content + struct.pack(">I4sI", 12, b"free", number))
    return paths


def report(store: Store, key: str) -> dict[str, Any]:
    """The video's report, without what is its own."""
    return {name: value for name, value in films.report(load_settings(), store, key).items() if name not in OWN}


def into_the_run(instance: dg.DagsterInstance, seconds: float) -> Callable[[], bool]:
    """Says whether a run that is not there yet began so many seconds ago."""
    runs, begun = instance.get_runs_count(), list[float]()

    def is_there() -> bool:
        if not begun and instance.get_runs_count() > runs:
            begun.append(time.monotonic())
        return bool(begun) and time.monotonic() - begun[0] > seconds

    return is_there


def length_s(instance: dg.DagsterInstance) -> float:
    """Seconds of the last run, which came to its end."""
    (record,) = instance.get_run_records(limit=1)
    assert record.start_time
    assert record.end_time
    return record.end_time - record.start_time


def stage(instance: dg.DagsterInstance, store: Store, key: str) -> str:
    """Where the last run, which is the video's, was."""
    (run,) = instance.get_runs(limit=1)
    steps = {dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_SUCCESS}
    last = next((entry.dagster_event for entry in reversed(instance.all_logs(run.run_id, of_type=steps)) if entry.dagster_event), None)
    if last is None:
        return "before the first step"
    step = str(last.step_key).removeprefix("compliance__")
    if last.event_type == dg.DagsterEventType.STEP_SUCCESS:
        return f"behind {step}"
    return f"in {step}, {predictions(store, key)}" if step == "detectors" else f"in {step}"


def predictions(store: Store, key: str) -> str:
    """How far the video's predictions are."""
    query = sa.text(
        "SELECT count(remote_id), count(*) FILTER (WHERE status <> 'answered') FROM model_calls "
        "WHERE item LIKE 'video/' || (SELECT sha256 FROM videos WHERE key = :key) || '%'"
    )
    with store.transaction() as session:
        stored, waiting = session.execute(query, {"key": key}).one()
    if not stored:
        return "before an id was stored"
    return "ids stored and no answer yet to some" if waiting else "all that was asked is answered"


def environment(home: Path, replicate: str) -> None:
    """The settings of all runs: hosted models for what they can do; no detector of this machine, which takes seconds for nothing here."""
    table = home / "detectors.yaml"
    table.write_text("detectors: {transcript: {}, screen_text: {}}", encoding="utf-8")
    os.environ |= {
        "PRESSROOM_HOME": str(home),
        "PRESSROOM_DETECTORS": str(table),
        "REPLICATE_API_TOKEN": hosted.TOKEN,
        "REPLICATE_BASE_URL": replicate,
    }


class Tally:
    """What the kills came to."""

    def __init__(self) -> None:
        self.stages: Counter[str] = Counter()
        self.stored = self.again = self.lost = self.over = self.different = self.videos = 0

    @property
    def kills(self) -> int:
        return self.stages.total()


def tried(instance: dg.DagsterInstance, store: Store, home: Path, key: str, moments: list[float], tally: Tally) -> dict[str, Any] | None:
    """Runs the video and kills it once at each of these moments, in seconds; then runs it to its end. Its report; None: it has none."""
    others, kept = stored_ids(store), dict[str, str]()
    for moment in moments:
        if not killed(home / "instance", key, into_the_run(instance, moment)):
            break
        tally.stages[stage(instance, store, key)] += 1
        tally.lost += lost_creates(store)
        kept |= {call: remote for call, remote in stored_ids(store).items() if call not in others}
    killed(home / "instance", key, lambda: False)  # to its end
    if (video := films.video(store, key)).state != "verification":
        print(f"bench: a run after {len(moments)} kills left its video {video.state}: {video.reason}")
        return None
    now = stored_ids(store)
    tally.stored += len(kept)
    tally.again += sum(now.get(call) != remote for call, remote in kept.items())
    return report(store, key)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.kills", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=KILLS, help=f"how many (default: {KILLS})")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    arguments = parser.parse_args()
    dice, tally = random.Random(arguments.seed), Tally()
    PROCESSES.set_forkserver_preload(PRELOADED)
    with parts.home() as home, parts.store_in(home) as store, hosted.endpoint(answers=hosted.COLOURS, latency_s=LATENCY_S) as replicate:
        environment(home, replicate.base_url)
        (home / "instance").mkdir()
        simulator = parts.Endpoint(replicate.base_url)
        with dg.DagsterInstance.local_temp(str(home / "instance"), {"telemetry": {"enabled": False}}) as instance:
            paths = videos(home / "films", 2 + round(SPARE * arguments.kills / A_VIDEO))
            warming, unharmed, *keys = films.arrived(instance, store, *paths)
            tried(instance, store, home, warming, [], tally)
            expected, length = tried(instance, store, home, unharmed, [], tally), length_s(instance)
            while tally.kills < arguments.kills and keys:
                simulator.reset()
                count = min(A_VIDEO, arguments.kills - tally.kills)
                lost = tally.lost
                found = tried(instance, store, home, keys.pop(), [dice.uniform(0, length) for _ in range(count)], tally)
                tally.videos += 1
                tally.different += found != expected
                tally.over += max(0, simulator.stats()["paid_twice"] - (tally.lost - lost))
    parts.line(
        NAME, f"{tally.kills} runs of {tally.videos} videos killed with -9", target=str(arguments.kills), met=tally.kills >= arguments.kills
    )
    for where, count in sorted(tally.stages.items(), key=lambda each: -each[1]):
        parts.line(f"{NAME}.stage", f"{count:3d} {where}")
    again = max(tally.again, tally.over)
    parts.line(
        f"{NAME}.paid_again",
        f"{again} of {tally.stored} predictions whose id was stored at a kill ({tally.lost} were being created, their id not stored yet)",
        target="0",
        met=again == 0,
    )
    parts.line(
        f"{NAME}.reports", f"{tally.different} of {tally.videos} other than the unkilled run's", target="0", met=tally.different == 0
    )


if __name__ == "__main__":
    main()
