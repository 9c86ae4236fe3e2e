"""Responses in the background, as the real SDK asks for them, looks at them and cancels them."""

from typing import Any

import pytest
from openai import BadRequestError, InternalServerError, NotFoundError, OpenAI, RateLimitError
from openai.types.responses import Response

from simulators.openai import OpenAISimulator
from simulators.openai_background import StoredResponses

ASKED: dict[str, Any] = {"model": "gpt-4.1-mini", "input": "About tides.", "background": True, "store": True}


def test_a_response_is_queued_then_in_progress_and_has_its_answer_only_at_the_end() -> None:
    now = 0.0
    responses = StoredResponses(clock=lambda: now)
    finished = {"id": "resp_1", "background": True, "status": "completed", "output": [{}], "usage": {"total_tokens": 7}, "error": None}
    assert responses.keep(finished, latency=8)["status"] == "queued"
    for now, status in ((1.9, "queued"), (2.0, "in_progress"), (7.9, "in_progress")):  # noqa: B007
        seen = responses.look("resp_1")
        assert (seen["status"], seen["output"], seen["usage"]) == (status, [], None)
    now = 8.0
    assert responses.look("resp_1") == finished
    assert responses.cancel("resp_1") == finished, "what has ended stays as it is"


def test_the_sdk_creates_one_and_polls_it_and_it_is_paid_once(simulator: OpenAISimulator, client: OpenAI) -> None:
    created = client.responses.create(**ASKED)
    assert (created.status, created.background, created.output_text, created.usage) == ("queued", True, "", None)
    assert simulator.stats()["answered"] == 1, "it is paid from its creation on"
    first, again = client.responses.retrieve(created.id), client.responses.retrieve(created.id)
    assert first == again
    assert (first.id, first.status, first.output_text) == (created.id, "completed", "Certainly.")
    assert first.usage
    assert (simulator.count, simulator.paid_twice) == (1, 0)
    client.responses.create(**ASKED)
    assert simulator.paid_twice == 1, "a client that lost the id pays again"


def test_one_that_takes_long_is_cancelled_once_or_twice(simulator: OpenAISimulator, client: OpenAI) -> None:
    simulator.latency = 60
    created = client.responses.create(**ASKED)
    assert client.responses.retrieve(created.id).status == "queued"
    for _ in range(2):
        cancelled = client.responses.cancel(created.id)
        assert (cancelled.status, cancelled.output, cancelled.usage) == ("cancelled", [], None)
    assert client.responses.retrieve(created.id).status == "cancelled"


def test_it_must_be_stored_and_only_it_can_be_cancelled(simulator: OpenAISimulator, client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.responses.create(**ASKED | {"store": False})
    assert refused.value.param == "store"
    at_once = client.responses.create(model="gpt-4.1-mini", input="About knots.")
    assert client.responses.retrieve(at_once.id) == at_once, "a response is stored unless it says otherwise"
    with pytest.raises(BadRequestError, match="synchronous"):
        client.responses.cancel(at_once.id)
    unstored = client.responses.create(model="gpt-4.1-mini", input="About ropes.", store=False)
    for ask in (client.responses.retrieve, client.responses.cancel):
        with pytest.raises(NotFoundError, match=f"Response with id '{unstored.id}' not found"):
            ask(unstored.id)


def test_one_that_is_forgotten_is_not_found(simulator: OpenAISimulator, client: OpenAI) -> None:
    created = client.responses.create(**ASKED)
    simulator.responses.forget()
    with pytest.raises(NotFoundError):
        client.responses.retrieve(created.id)


def test_a_failing_status_comes_at_the_creation_and_nothing_is_made(simulator: OpenAISimulator, client: OpenAI) -> None:
    simulator.fail("429", retry_after=1)
    with pytest.raises(RateLimitError):
        client.responses.create(**ASKED)
    assert simulator.stats()["answered"] == 0


@pytest.mark.parametrize(
    ("kind", "status", "says"),
    [
        ("failed", "failed", lambda ended: ended.error.code == "server_error" and ended.usage is None and not ended.output),
        ("incomplete", "incomplete", lambda ended: ended.incomplete_details.reason == "max_output_tokens" and ended.usage.total_tokens),
        ("filtered", "incomplete", lambda ended: ended.incomplete_details.reason == "content_filter"),
        ("refusal", "completed", lambda ended: ended.output[0].content[0].type == "refusal" and ended.usage.total_tokens),
        ("no-usage", "completed", lambda ended: ended.usage is None and ended.output_text),
    ],
)
def test_a_useless_answer_is_only_seen_when_it_has_ended(
    simulator: OpenAISimulator, client: OpenAI, kind: str, status: str, says: Any
) -> None:
    simulator.fail(kind)
    created = client.responses.create(**ASKED)
    assert (created.status, created.error, created.incomplete_details) == ("queued", None, None)
    ended: Response = client.responses.retrieve(created.id)
    assert ended.status == status
    assert says(ended)


def test_looking_can_fail_and_the_response_goes_on(simulator: OpenAISimulator, client: OpenAI) -> None:
    created = client.responses.create(**ASKED)
    simulator.fail("503", on="poll", containing=created.id)
    with pytest.raises(InternalServerError):
        client.responses.retrieve(created.id)
    assert client.responses.retrieve(created.id).status == "completed"
    assert (simulator.count, simulator.paid_twice) == (1, 0)
