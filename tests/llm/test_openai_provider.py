"""What the endpoint's errors become, what a request looks like on the wire, and what never leaves for a log."""

import asyncio
import base64
import contextlib
import dataclasses
import datetime as dt
import email.utils
import logging
from collections.abc import Callable

import pytest
from pydantic import BaseModel, SecretStr

from pressroom.errors import BadInput, Permanent, Transient
from pressroom.llm.gateway import Exchange
from pressroom.llm.openai_provider import NO_KEY, REASONING_ROOM, OpenAIProvider
from pressroom.llm.types import RawAnswer, Request, Scope, Ticket
from simulators.openai import OpenAISimulator

KEY = "sk-test-4f9c2d7e81a0b3c6"  # as in the fixtures
MakeExchange = Callable[..., Exchange]
MakeRequest = Callable[..., Request[BaseModel]]


def provider(url: str, *, model: str = "gpt-4.1-mini", api: str = "responses", key: str = KEY) -> OpenAIProvider:
    return OpenAIProvider(key=SecretStr(key), base_url=url, model=model, api=api)  # type: ignore[arg-type]


async def no_id(remote_id: str | None) -> None:
    raise AssertionError("nothing is made in the background here")


def error_of(provider: OpenAIProvider, request: Request[BaseModel]) -> Exception:
    async def send() -> None:
        try:
            await provider.send(request, Ticket(None, no_id))
        finally:
            await provider.close()

    with pytest.raises((Transient, Permanent)) as caught:
        asyncio.run(send())
    return caught.value


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("401", "OPENAI_API_KEY"),
        ("403", "OPENAI_API_KEY"),
        ("404", "PRESSROOM_LLM_MODEL"),
        ("402", "no credit is left"),
        ("insufficient_quota", "no credit is left"),
        ("400", "PRESSROOM_LLM_MODEL"),
    ],
)
def test_what_trying_again_cannot_help_is_one_line_that_names_the_setting_and_never_the_key(
    simulator: OpenAISimulator, ask_for: MakeRequest, kind: str, words: str
) -> None:
    simulator.fail(kind)
    error = error_of(provider(simulator.base_url), ask_for())
    assert isinstance(error, Permanent)
    assert words in str(error)
    assert f"127.0.0.1:{simulator.port}" in str(error)
    assert KEY not in str(error)
    assert "\n" not in str(error)


def test_a_server_that_wants_a_key_says_so_where_none_is_set(simulator: OpenAISimulator, ask_for: MakeRequest) -> None:
    simulator.fail("401")
    error = error_of(provider(simulator.base_url, key=NO_KEY.get_secret_value()), ask_for())
    assert str(error).endswith("it wants a key; set OPENAI_API_KEY")


@pytest.mark.parametrize("kind", ["429", "500", "502", "503", "reset", "html", "invalid-json", "other-shape"])
def test_what_may_pass_is_transient(simulator: OpenAISimulator, ask_for: MakeRequest, kind: str) -> None:
    simulator.fail(kind)
    assert isinstance(error_of(provider(simulator.base_url), ask_for()), Transient)
    assert simulator.count == 1, "the SDK retried beside the gateway"


def test_a_server_that_is_not_there_is_transient_and_its_url_is_shown_without_a_password(ask_for: MakeRequest) -> None:
    error = error_of(provider("http://me:hunter2@127.0.0.1:9/v1"), ask_for())
    assert isinstance(error, Transient)
    assert "OPENAI_BASE_URL" in str(error)
    assert "127.0.0.1:9" in str(error)
    assert "(ConnectionRefusedError)" in str(error), "each of four libraries has a name of its own for it"
    assert "hunter2" not in str(error)


def test_a_user_and_a_password_in_the_url_are_what_the_server_is_asked_with(ask_for: MakeRequest) -> None:
    with OpenAISimulator(key="Basic " + base64.b64encode(b"me:hunter 2").decode()) as simulator:
        asked = provider(simulator.base_url.replace("://", "://me:hunter%202@"))

        async def send() -> RawAnswer:
            try:
                return await asked.send(ask_for(), Ticket(None, no_id))
            finally:
                await asked.close()

        assert asyncio.run(send()).usage


@pytest.mark.parametrize(
    ("given", "expected"),
    [("2", 2.0), ("0.25", 0.25), (None, None), ("soon", None), ("-3", None), ("nan", None), ("inf", None), ("date", 90.0), ("past", 0.0)],
)
def test_retry_after_is_read_in_seconds_or_as_a_date(
    simulator: OpenAISimulator, ask_for: MakeRequest, given: str | None, expected: float | None
) -> None:
    moment = {"date": 90, "past": -90}.get(given or "")
    if moment is not None:
        given = email.utils.format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=moment), usegmt=True)
    simulator.fail("429", retry_after=given)
    error = error_of(provider(simulator.base_url), ask_for())
    assert isinstance(error, Transient)
    assert error.retry_after == (expected if moment is None else pytest.approx(expected, abs=3))


def test_what_the_endpoint_says_is_repeated_unless_it_quotes_the_prompt(simulator: OpenAISimulator, ask_for: MakeRequest) -> None:
    """Why a request was refused is worth reading; some servers quote the prompt in it, and a prompt has no business in a log."""
    simulator.fail("400")
    simulator.fail("echo")
    plain, quoting = (error_of(provider(simulator.base_url), ask_for("the drowned bell of Brannock")) for _ in range(2))
    assert ": Invalid value for a parameter; check PRESSROOM_LLM_MODEL" in str(plain)
    assert "invalid_value" in str(quoting)
    assert "drowned" not in str(quoting)


@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize("model", ["gpt-5-mini", "o4-mini"])
def test_a_model_that_reasons_gets_no_temperature_and_room_to_think(
    scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest, api: str, model: str
) -> None:
    answer = asyncio.run(exchange(api=api, model=model).gateway(scope).ask(ask_for(limit=300)))
    assert answer.outcome == "valid"
    assert answer.usage.reasoning > 0
    (asked,) = simulator.requests
    assert "temperature" not in asked.body
    assert asked.limit == 300 + REASONING_ROOM


def test_any_compatible_server_is_reached_by_its_url(
    scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest
) -> None:
    """Small servers name their models as they like, know `max_tokens` only, and wrap JSON in a fence."""
    simulator.models = ("llama3.3:70b",)
    simulator.fail("fenced")
    answer = asyncio.run(exchange(api="chat", model="llama3.3:70b").gateway(scope).ask(ask_for(limit=300)))
    assert answer.outcome == "valid"
    assert simulator.requests[0].body["max_tokens"] == 300


def test_the_stable_part_comes_first_so_that_the_endpoint_can_cache_it(
    scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest
) -> None:
    gateway = exchange().gateway(scope)
    long = "The brand speaks plainly. " * 250
    first = asyncio.run(gateway.ask(dataclasses.replace(ask_for("tides"), instructions=long)))
    second = asyncio.run(gateway.ask(dataclasses.replace(ask_for("knots"), instructions=long)))
    assert first.usage.cached == 0
    assert second.usage.cached >= 1024
    assert second.cost_usd is not None
    assert first.cost_usd is not None
    assert second.cost_usd < first.cost_usd


@pytest.mark.parametrize(
    ("key", "url", "setting"),
    [
        (f"{KEY}\n", "http://a/v1", "OPENAI_API_KEY"),
        (KEY, "localhost:11434/v1", "OPENAI_BASE_URL"),
        (KEY, "http://localhost:99999/v1", "OPENAI_BASE_URL"),
        (KEY, "http://localhost:http/v1", "OPENAI_BASE_URL"),
        (KEY, "http://[::1/v1", "OPENAI_BASE_URL"),
        (KEY, "http://999.1.1.1/v1", "OPENAI_BASE_URL"),
        (KEY, "http://local\nhost/v1", "OPENAI_BASE_URL"),
    ],
)
def test_a_key_or_a_url_that_cannot_be_one_is_said_before_anything_is_sent(key: str, url: str, setting: str) -> None:
    with pytest.raises(BadInput, match=setting) as caught:
        provider(url, key=key)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize("kind", ["", "401", "echo", "429", "reset", "html", "refusal", "not-json"])
def test_no_key_and_no_prompt_reaches_a_log_at_any_level(
    scope: Scope,
    simulator: OpenAISimulator,
    exchange: MakeExchange,
    ask_for: MakeRequest,
    caplog: pytest.LogCaptureFixture,
    api: str,
    kind: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx2", "httpcore2", "asyncio", "sqlalchemy", "psycopg", "pressroom", "tenacity"):
        caplog.set_level(logging.DEBUG, logger=name)
    if kind:
        simulator.fail(kind, times=None)
    with contextlib.suppress(Permanent, Transient):
        asyncio.run(exchange(api=api).gateway(scope).ask(ask_for("the drowned bell of Brannock")))
    said = caplog.text + repr([record.args for record in caplog.records])
    assert "HTTP" in said, "nothing was logged: this test looks at the wrong loggers"
    assert "INSERT INTO model_calls" in said, "the statements were not logged: this test looks at the wrong loggers"
    assert KEY not in said
    assert "harbour museum" not in said
    assert "drowned bell" not in said
