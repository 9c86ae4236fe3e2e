"""How long 15 drafts with answers of 2 s take beside their critical path, and a whole day's run: `python -m bench.drafts`.

The critical path is 2 s for every round that the slowest draft needs, one with good answers; of the run, 2 s for the ideas and 2 s for
the drafts. The run is a process of its own, as a person starts it, on a migrated database and with a warmed file cache. Beside it, in
the same run, what any Dagster process costs before it does anything.
"""

import asyncio
import datetime as dt
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import chdir
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench import parts
from bench.demo import EMPTY
from pressroom.llm.gateway import Exchange
from pressroom.llm.types import Scope
from pressroom.platforms.base import DraftBrief, Platform
from pressroom.platforms.registry import platforms
from pressroom.settings import load_settings
from pressroom.store.content import save_drafts, save_ideas
from pressroom.store.engine import Store, open_store
from pressroom.store.grouped import Grouped
from pressroom.store.runs import steps_of
from pressroom.writer.drafts import Drafts, Written, write_drafts
from tests.samples import DAY, SITE, call_booked, site_applied

NAME = "drafts"
IDEAS, LATENCY_S, ROUNDS = 5, 2.0, 3
MOST_RATIO, MOST_BESIDE_S = 1.10, 4.0
SITE_FILE = """
slug: {slug}
name: Brew
domain: brew.example
time_zone: Europe/Lisbon
field: specialty coffee
audience: home baristas
automation:
  ideas_per_day: 5
"""
TOPICS = ("coffee grinder", "espresso machine", "moka pot", "cold brew", "milk frother", "water filter")
WORDS = ("best {}", "{} price", "how to clean a {}", "{} for beginners", "{} vs capsule", "used {} near me")
KEYWORDS = "keyword,volume\n" + "".join(f"{word.format(topic)},{100 + len(topic) * len(word)}\n" for topic in TOPICS for word in WORDS)


def prepare(store: Store) -> None:
    """The samples' site with the ideas that the drafts are for."""
    with store.transaction() as session:
        site_applied(session)
        save_ideas(session, SITE, DAY, parts.ideas(IDEAS, call=call_booked(session, "ideas")), run_id="bench")


def work() -> list[tuple[DraftBrief, Platform]]:
    """The 15 drafts of a day: five ideas on three platforms."""
    briefs = [parts.brief(idea) for idea in parts.ideas(IDEAS, call="ideas")]
    return [(brief, platform) for brief in briefs for platform in platforms().values()]


def write(store: Store, exchange: Exchange, generation: str = "") -> Drafts:
    """The step: all drafts asked for at once, each saved as it comes, with those that come meanwhile."""

    def save_all(group: Sequence[Written]) -> None:
        store.retrying(partial(save_drafts, site=SITE, drafts=[written.draft for written in group], run_id="bench"))

    gateway = exchange.gateway(Scope(SITE.account_id, SITE.id, run_id="bench", asset="bench", generation=generation))
    return asyncio.run(write_drafts(work(), gateway, Grouped(save_all)))


def write_alone(in_flight: int) -> None:
    """The step in a process of its own, by its environment: one that can be killed."""
    settings = load_settings()
    with open_store(settings) as store, parts.exchange(store, settings.openai_base_url, in_flight=in_flight) as exchange:
        write(store, exchange)


def step(store: Store, base_url: str) -> tuple[list[float], int]:
    """Seconds of each round of the step, and the rounds that its slowest draft needed. The first is not measured, but its ideas' call."""
    seconds, rounds = [], 1
    with parts.exchange(store, base_url, in_flight=len(work())) as exchange:
        asyncio.run(first_call(exchange))
        for number in range(ROUNDS):
            begin = time.perf_counter()
            made = write(store, exchange, f"round-{number}")
            seconds.append(time.perf_counter() - begin)
            assert len(made.written) == len(work())
            rounds = max(rounds, *(len(written.calls) for written in made.written))
    return seconds, rounds


async def first_call(exchange: Exchange) -> None:
    """What the ideas' call has done before the drafts begin: what is loaded and opened once is there."""
    await exchange.gateway(Scope(SITE.account_id, SITE.id, run_id="bench", generation="first")).ask(parts.draft_requests(1)[0])


class Day(NamedTuple):
    """Seconds of a `pressroom run`: from its start to the end of the run of daily_content, to its own end, and of the drafts step."""

    content: float
    whole: float
    step: float


def days(folder: Path, store: Store, base_url: str) -> list[Day]:
    """What each day took. One of another site has warmed the files before."""
    from dagster import DagsterInstance, RunsFilter

    (folder / "dagster.yaml").write_text((parts.ROOT / "dagster.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "keywords.csv").write_text(KEYWORDS, encoding="utf-8")
    environment = parts.environment(PRESSROOM_HOME=str(folder), OPENAI_BASE_URL=base_url)

    def pressroom(*arguments: str) -> str:
        command = [*parts.PRESSROOM, *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"bench.{NAME}: pressroom {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    timed = []
    for slug in ("warm-up", *(f"brew-{number}" for number in range(ROUNDS))):
        (folder / "site.yaml").write_text(SITE_FILE.format(slug=slug), encoding="utf-8")
        pressroom("site", "apply", "site.yaml")
        begin = time.time()
        document = json.loads(pressroom("run", slug, "--date", str(DAY), "--keywords", "keywords.csv", "--json"))
        whole = time.time() - begin
        assert document["calls"]["paid"] == 1 + len(work()), "a call more than one for the ideas and one for each draft is a second round"
        with chdir(folder), DagsterInstance.from_config(str(folder)) as instance:  # its storage is beside the file
            (record,) = instance.get_run_records(RunsFilter(run_ids=[document["run_id"]]))
        assert record.end_time
        timed.append(Day(record.end_time - begin, whole, drafts_step(store, document["run_id"])))
    return timed[1:]


def drafts_step(store: Store, run_id: str) -> float:
    """Seconds from the beginning of the first platform's drafts to the end of the last one's."""
    with store.transaction() as session:
        written = [step for step in steps_of(session, run_id) if step["asset"].startswith("writer/")]
    first, last = (pick(step[at] for step in written) for pick, at in ((min, "started_at"), (max, "ended_at")))
    return (dt.datetime.fromisoformat(last) - dt.datetime.fromisoformat(first)).total_seconds()


def cold(folder: Path, *code: str) -> list[float]:
    """Seconds of a Python process for each piece of `code`, the best of three. It is started in `folder`, where it finds no .env."""

    def seconds(each: str) -> float:
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", each], cwd=folder, env=parts.environment(), check=True, capture_output=True)
        return time.perf_counter() - begin

    return [min(seconds(each) for _ in range(3)) for each in code]


def main() -> None:
    with parts.home() as home, parts.store_in(home) as store, parts.endpoint(LATENCY_S) as endpoint:
        prepare(store)
        seconds, rounds = step(store, endpoint.base_url)
        timed = days(home, store, endpoint.base_url)
        nothing, dagster, ours, empty = cold(home, "pass", "import dagster", "import definitions", EMPTY)
    path = LATENCY_S * rounds
    for name, times in (("write_drafts", seconds), ("the drafts step inside a run", [day.step for day in timed])):
        best, median = min(times), statistics.median(times)
        parts.line(
            NAME,
            f"{name}, {len(work())} drafts with answers of {LATENCY_S:g} s: {best:.2f} s",
            f"{best / path:.2f} × the critical path of {path:g} s; median of {len(times)} {median / path:.2f} ×",
            target=f"≤ {MOST_RATIO:.2f} ×",
            met=median / path <= MOST_RATIO,
        )
    best, median = min(day.content for day in timed), statistics.median(day.content for day in timed)
    path, whole = 2 * LATENCY_S, min(day.whole for day in timed)
    parts.line(
        NAME,
        f"daily_content, {IDEAS} ideas and {len(work())} drafts, from the start of its process: {best:.1f} s, median {median:.1f}",
        f"{best / path:.2f} × the critical path of {path:g} s, {best - path:.1f} s beside it",
        target=f"≤ {MOST_BESIDE_S:g} s beside it",
        met=best - path <= MOST_BESIDE_S,
    )
    parts.line(NAME, f"pressroom run, with the report's own run: {whole:.1f} s", f"{whole - path:.1f} s beside the critical path")
    parts.line(
        NAME,
        f"of that before any work: Python {nothing:.1f} s, the import of dagster {dagster - nothing:.1f} s, of the definitions after it"
        f" {ours - dagster:.1f} s; an empty Dagster run {empty:.1f} s",
        f"{(best - path) / empty:.2f} empty runs beside the critical path",
    )


if __name__ == "__main__":
    main()
