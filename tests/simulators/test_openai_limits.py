"""Rate limits: buckets on a clock of the test's own, and the real SDK that meets them on the wire."""

import asyncio

import pytest
from openai import AsyncOpenAI, OpenAI, RateLimitError

from simulators.openai import OpenAISimulator
from simulators.openai_limits import RateLimits, duration
from simulators.openai_wire import tokens


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.006, "6ms"), (0.0051, "6ms"), (0.9999, "1s"), (1.5, "1.5s"), (62.3, "1m2.3s"), (360, "6m0s"), (3661.25, "1h1m1.25s")],
)
def test_the_time_until_a_reset_is_written_as_openai_writes_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_full_bucket_lets_a_burst_in_and_then_only_what_is_refilled() -> None:
    clock = Clock()
    limits = RateLimits(rpm=3, clock=clock)
    assert [limits.admit(1, "gpt-5") for _ in range(3)] == [None] * 3
    refused = limits.admit(1, "gpt-5")
    assert refused
    assert "on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s." in refused.message
    assert refused.headers() == {"retry-after": "20", "retry-after-ms": "20000"}
    clock.now += 20
    assert limits.admit(1, "gpt-5") is None, "it came back when it was told to"
    assert limits.admit(1, "gpt-5")
    assert limits.throttled == 2


def test_the_headers_tell_what_is_left_and_when_all_is_back() -> None:
    clock = Clock()
    limits = RateLimits(rpm=60, tpm=30_000, clock=clock)
    limits.admit(15_000, "gpt-5")
    clock.now += 10
    assert limits.headers() == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "60",
        "x-ratelimit-reset-requests": "0s",
        "x-ratelimit-limit-tokens": "30000",
        "x-ratelimit-remaining-tokens": "20000",
        "x-ratelimit-reset-tokens": "20s",
    }
    assert RateLimits().headers() == {}, "where there is no limit, none is told"


def test_a_request_that_no_bucket_holds_is_told_so_and_not_to_wait() -> None:
    limits = RateLimits(tpm=30_000, clock=Clock())
    refused = limits.admit(31_538, "gpt-4o")
    assert refused
    assert refused.message.startswith("Request too large for gpt-4o")
    assert "Limit 30000, Requested 31538." in refused.message
    assert (refused.unit, refused.headers()) == ("tokens", {})


def test_a_request_refused_for_its_tokens_was_a_request_all_the_same() -> None:
    limits = RateLimits(rpm=2, tpm=100, clock=Clock())
    assert [bool(limits.admit(90, "gpt-5")) for _ in range(3)] == [False, True, True]
    assert limits.headers()["x-ratelimit-remaining-requests"] == "0"
    assert len(limits.admitted) == 1


def test_the_busiest_window_is_found_wherever_it_begins() -> None:
    clock = Clock()
    limits = RateLimits(clock=clock)
    for wait, size in ((0, 10), (50, 20), (5, 30), (5, 40), (54, 50)):
        clock.now += wait
        limits.admit(size, "gpt-5")
    assert limits.most_in_window(60) == 3, "those at 0 and at 60 s are not within one minute"
    assert limits.most_in_window(60, "tokens") == 40 + 50 + 30
    assert limits.most_in_window(1) == 1
    assert RateLimits().most_in_window(60) == 0


def test_the_sdk_meets_a_limit_of_tokens_and_reads_when_to_come_back(simulator: OpenAISimulator, client: OpenAI) -> None:
    words = "About tides. " * 20
    simulator.limits = RateLimits(tpm=1000)
    first = client.responses.with_raw_response.create(model="gpt-4.1-mini", input=words, max_output_tokens=400)
    left = int(first.headers["x-ratelimit-remaining-tokens"])
    assert 1000 - left == pytest.approx(tokens(words) + 400, abs=20), "the input and the most output were taken"
    client.responses.create(model="gpt-4.1-mini", input=words, max_output_tokens=400)
    with pytest.raises(RateLimitError) as refused:
        client.responses.create(model="gpt-4.1-mini", input=words, max_output_tokens=400)
    assert (refused.value.code, refused.value.type) == ("rate_limit_exceeded", "tokens")
    headers = refused.value.response.headers
    assert 0 < int(headers["retry-after-ms"]) <= 1000 * int(headers["retry-after"]) <= 30_000
    assert headers["x-ratelimit-limit-tokens"] == "1000"
    assert (simulator.stats()["throttled"], simulator.stats()["admitted"], simulator.stats()["most_in_minute"]) == (1, 2, 2)


def test_a_limit_can_be_silent_about_when_to_come_back(client: OpenAI, simulator: OpenAISimulator) -> None:
    simulator.limits, simulator.retry_after_header = RateLimits(rpm=1), False
    client.embeddings.create(model="text-embedding-3-small", input="tides")
    with pytest.raises(RateLimitError) as refused:
        client.embeddings.create(model="text-embedding-3-small", input="tides")
    assert not refused.value.response.headers.keys() & {"retry-after", "retry-after-ms"}


def test_clients_that_wait_as_told_all_get_their_answer(simulator: OpenAISimulator) -> None:
    simulator.limits = RateLimits(tpm=60_000)  # a thousand a second

    async def ask_all() -> None:
        async with AsyncOpenAI(api_key="sk-test", base_url=simulator.base_url, max_retries=50) as client:
            await client.responses.create(model="gpt-4.1-mini", input="All at once.", max_output_tokens=59_990)
            few = (client.responses.create(model="gpt-4.1-mini", input=f"Tide {n}", max_output_tokens=97) for n in range(10))
            await asyncio.gather(*few)

    asyncio.run(ask_all())
    assert simulator.limits.throttled > 0
    assert (len(simulator.limits.admitted), simulator.paid_twice) == (11, 0)
