"""What the gateway costs beside the bare SDK, and a replay beside a call: `python -m bench.gateway`.

500 calls of 1 s with 500 in flight go through the gateway, ledger on PostgreSQL included, and through the bare `AsyncOpenAI` with the same
words, in turn in the same process. CPU time is this process's: neither the endpoint's nor PostgreSQL's is in it.
"""

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from bench import parts
from pressroom.llm.gateway import Exchange
from pressroom.llm.types import Request, Scope
from pressroom.store.engine import Store
from tests.samples import SITE, site_applied

NAME = "gateway"
CALLS, LATENCY_S, ROUNDS = 500, 1.0, 5
REPLAYED = 1000
MOST_RATIO, MOST_REPLAY_S = 1.25, 2.0
MOST_CPU_RATIO = 4.0 / 2.4  # 4 ms a call on a machine where the bare SDK takes 2.4


@dataclass(frozen=True)
class Spent:
    """What one round took: wall time in s, CPU time in s."""

    wall: float
    cpu: float


def spent(work: Callable[[], object]) -> Spent:
    gc.collect()  # what the round before left behind is not this one's
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def ask_all(exchange: Exchange, requests: list[Request[BaseModel]], generation: str = "") -> None:
    """Every request at once, through the gateway. A generation that is new is asked anew."""
    gateway = exchange.gateway(Scope(SITE.account_id, SITE.id, run_id="bench", asset="bench", generation=generation))

    async def ask() -> None:
        answers = await asyncio.gather(*(gateway.ask(request) for request in requests))
        assert all(answer.outcome == "valid" for answer in answers)

    asyncio.run(ask())


async def send_all(create: Callable[..., Awaitable[Any]], asked: list[dict[str, Any]]) -> None:
    """Every request at once, by the SDK alone."""
    answers = await asyncio.gather(*(create(**each) for each in asked))
    assert all(answer.output_text for answer in answers)


def in_turn(store: Store, endpoint: parts.Endpoint, requests: list[Request[BaseModel]]) -> tuple[list[Spent], list[Spent]]:
    """What each round took: the gateway's, the bare SDK's. A first call of each, unmeasured, opens what is opened once."""
    from openai import AsyncOpenAI

    asked = [parts.parameters(request) for request in requests]
    ours: list[Spent] = []
    bare: list[Spent] = []
    with parts.exchange(store, endpoint.base_url, in_flight=CALLS) as exchange, asyncio.Runner() as runner:
        client = AsyncOpenAI(api_key=parts.KEY, base_url=endpoint.base_url, max_retries=0)
        ask_all(exchange, requests[:1], "first")
        runner.run(send_all(client.responses.create, asked[:1]))
        for number in range(ROUNDS):
            for work, times in (
                (lambda number=number: ask_all(exchange, requests, f"round-{number}"), ours),
                (lambda: runner.run(send_all(client.responses.create, asked)), bare),
            ):
                endpoint.reset()
                times.append(spent(work))
                assert endpoint.stats()["answered"] == CALLS
        runner.run(client.close())
    return ours, bare


def replayed(store: Store, requests: list[Request[BaseModel]]) -> list[float]:
    """Seconds for all `requests` from the ledger, by an exchange that never asked them, as that of the next run."""
    with parts.endpoint(0) as endpoint:
        with parts.exchange(store, endpoint.base_url, in_flight=100) as exchange:
            ask_all(exchange, requests)
        booked = endpoint.stats()["answered"]
        seconds = []
        for _ in range(ROUNDS):
            with parts.exchange(store, endpoint.base_url, in_flight=15) as exchange:
                seconds.append(spent(lambda exchange=exchange: ask_all(exchange, requests)).wall)  # type: ignore[misc]
        assert endpoint.stats()["answered"] == booked == len(requests), "a replay asked the endpoint"
    return seconds


def main() -> None:
    requests = parts.draft_requests(REPLAYED)
    with parts.home() as home, parts.store_in(home) as store:
        with store.transaction() as session:
            site_applied(session)
        with parts.endpoint(LATENCY_S) as endpoint:
            ours, bare = in_turn(store, endpoint, requests[:CALLS])
        seconds = replayed(store, requests)
    walls, bare_walls = [each.wall for each in ours], [each.wall for each in bare]
    best, median = min(walls) / min(bare_walls), statistics.median(walls) / statistics.median(bare_walls)
    parts.line(
        NAME,
        f"{CALLS} calls of {LATENCY_S:g} s, {CALLS} in flight: {min(walls):.2f} s",
        f"{best:.2f} × the bare SDK's {min(bare_walls):.2f} s; medians of {ROUNDS} rounds {median:.2f} ×",
        target=f"≤ {MOST_RATIO} ×",
        met=median <= MOST_RATIO,
    )
    cpu, bare_cpu = ([1000 * each.cpu / CALLS for each in rounds] for rounds in (ours, bare))
    median = statistics.median(cpu) / statistics.median(bare_cpu)
    parts.line(
        NAME,
        f"CPU {min(cpu):.2f} ms a call, median {statistics.median(cpu):.2f}",
        f"{min(cpu) / min(bare_cpu):.2f} × the bare SDK's {min(bare_cpu):.2f} ms; medians {median:.2f} ×",
        target=f"≤ {MOST_CPU_RATIO:.2f} ×: 4 ms where the bare SDK takes 2.4",
        met=median <= MOST_CPU_RATIO,
    )
    parts.line(
        NAME,
        f"replay of {REPLAYED:,} answers: {min(seconds):.2f} s, median {statistics.median(seconds):.2f}",
        f"{min(seconds) / REPLAYED / (min(walls) / CALLS):.2f} × what as many calls take",
        target=f"< {MOST_REPLAY_S:g} s",
        met=statistics.median(seconds) < MOST_REPLAY_S,
    )


if __name__ == "__main__":
    main()
