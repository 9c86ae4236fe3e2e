"""The simulated endpoint: as strict as the real one, as broken as it is told to be, and steered from another process."""

import asyncio
import http.client
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any, Literal

import pytest
from openai import OpenAI
from pydantic import BaseModel

from simulators.openai import ERRORS, Failure, OpenAISimulator
from simulators.openai_answers import INJECTED
from simulators.openai_options import options


class Post(BaseModel):
    title: str
    text: str


SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "text": {"type": "string"}},
    "required": ["title", "text"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "name": "Post", "schema": SCHEMA, "strict": True}
RESPONSES: dict[str, Any] = {"model": "gpt-4.1-mini", "instructions": "Write.", "input": "About tides.", "text": {"format": FORMAT}}
CHAT: dict[str, Any] = {
    "model": "gpt-4.1-mini",
    "messages": [{"role": "system", "content": "Write."}, {"role": "user", "content": "About tides."}],
    "response_format": {"type": "json_schema", "json_schema": {"name": "Post", "schema": SCHEMA, "strict": True}},
}


def post(url: str, body: dict[str, Any] | None, *, key: str | None = "sk-test") -> tuple[int, dict[str, Any]]:
    """Status and document of a POST, or of a GET without a body."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["error"]


def test_the_sdk_reads_what_it_answers_in_both_apis(simulator: OpenAISimulator) -> None:
    client = OpenAI(api_key="sk-test", base_url=simulator.base_url)
    response = client.responses.parse(model="gpt-4.1-mini", input="About tides.", text_format=Post)
    completion = client.chat.completions.parse(
        model="gpt-4.1-mini", messages=[{"role": "user", "content": "About tides."}], response_format=Post
    )
    assert response.output_parsed
    assert response.output_parsed == completion.choices[0].message.parsed, "the same words have the same answer"
    assert response.usage
    assert completion.usage
    assert response.usage.total_tokens == completion.usage.total_tokens > 0
    assert "gpt-4.1-mini" in [model.id for model in client.models.list()]


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"temprature": 0.7}, 400, "temprature"),
        ({"model": None}, 400, "model"),
        ({"model": "gpt-4.1-maxi"}, 404, "model"),
        ({"model": "gpt-5-mini", "temperature": 0.7}, 400, "temperature"),
        ({"max_output_tokens": 8}, 400, "max_output_tokens"),
        ({"input": 7}, 400, "input"),
        ({"text": {"format": {**FORMAT, "name": "a post"}}}, 400, "text.format.name"),
        ({"text": {"format": {**FORMAT, "schema": {**SCHEMA, "required": ["title"]}}}}, 400, None),
        ({"text": {"format": {**FORMAT, "schema": {**SCHEMA, "additionalProperties": True}}}}, 400, None),
        ({"text": {"format": {**FORMAT, "schema": {**SCHEMA, "properties": {"title": {"type": "string", "default": ""}}}}}}, 400, None),
    ],
)
def test_a_request_that_the_real_endpoint_refuses_is_refused(
    simulator: OpenAISimulator, change: dict[str, Any], status: int, param: str | None
) -> None:
    code, error = post(f"{simulator.base_url}/responses", RESPONSES | change)
    assert (code, error["param"]) == (status, param)
    assert simulator.count == 0


def test_a_key_is_needed_and_a_given_one_is_held(simulator: OpenAISimulator) -> None:
    assert post(f"{simulator.base_url}/responses", RESPONSES, key=None)[0] == 401
    simulator.key = "sk-right"
    assert post(f"{simulator.base_url}/responses", RESPONSES)[0] == 401
    assert post(f"{simulator.base_url}/responses", RESPONSES, key="sk-right")[0] == 200


def test_a_text_longer_than_the_limit_is_cut_as_the_real_one_would(simulator: OpenAISimulator) -> None:
    _, response = post(f"{simulator.base_url}/responses", RESPONSES | {"max_output_tokens": 16})
    _, completion = post(f"{simulator.base_url}/chat/completions", CHAT | {"max_tokens": 16})
    assert (response["status"], completion["choices"][0]["finish_reason"]) == ("incomplete", "length")
    assert response["usage"]["output_tokens"] <= 16


def test_answers_come_from_the_caller_who_sees_what_was_asked(simulator: OpenAISimulator) -> None:
    simulator.answers = lambda asked: {"title": asked.schema_name, "text": asked.input} if "tides" in asked.input else None
    _, mine = post(f"{simulator.base_url}/responses", RESPONSES)
    assert json.loads(mine["output"][0]["content"][0]["text"]) == {"title": "Post", "text": "About tides."}
    _, plausible = post(f"{simulator.base_url}/responses", RESPONSES | {"input": "About knots."})
    Post.model_validate_json(plausible["output"][0]["content"][0]["text"])


@pytest.mark.parametrize("kind", sorted(ERRORS))
def test_a_failing_status_comes_with_an_error_document_and_then_it_is_over(simulator: OpenAISimulator, kind: str) -> None:
    simulator.fail(kind)
    status, error = post(f"{simulator.base_url}/responses", RESPONSES)
    assert status == {"insufficient_quota": 429, "echo": 400}.get(kind) or str(status) == kind
    assert error["message"]
    assert post(f"{simulator.base_url}/responses", RESPONSES)[0] == 200


@pytest.mark.parametrize("kind", ["incomplete", "refusal", "empty", "not-json", "other-answer", "huge", "nul", "fenced", "filtered"])
def test_an_answer_of_no_use_is_whole_on_the_wire_and_billed(simulator: OpenAISimulator, kind: str) -> None:
    _, good = post(f"{simulator.base_url}/chat/completions", CHAT)
    simulator.fail(kind)
    status, bad = post(f"{simulator.base_url}/chat/completions", CHAT)
    choice = bad["choices"][0]
    assert status == 200
    assert bad["usage"]["prompt_tokens"] == good["usage"]["prompt_tokens"] > 0
    assert choice["finish_reason"] == {"incomplete": "length", "filtered": "content_filter"}.get(kind, "stop")
    assert kind == "filtered" or choice["message"]["content"] != good["choices"][0]["message"]["content"]
    assert (choice["message"]["refusal"] is not None) == (kind == "refusal")


def test_an_answer_with_orders_and_markup_in_it_still_fits_its_schema(simulator: OpenAISimulator, client: OpenAI) -> None:
    class Section(BaseModel):
        kind: Literal["hook", "value"]
        words: list[str]

    class Script(BaseModel):
        title: str
        section: Section | None
        length: int

    simulator.answers = lambda asked: {"title": "Tides", "section": {"kind": "hook", "words": ["Look", "up"]}, "length": 2}
    simulator.fail("injection")
    script = client.responses.parse(model="gpt-4.1-mini", input="About tides.", text_format=Script).output_parsed
    assert script
    assert script.section
    assert script.title == f"Tides {INJECTED}"
    assert script.section.words == [f"Look {INJECTED}", f"up {INJECTED}"]
    assert (script.section.kind, script.length) == ("hook", 2), "what may not be any words stays as it was"


def test_a_model_that_gives_up_is_not_paid(simulator: OpenAISimulator) -> None:
    simulator.fail("failed", times=2)
    status, response = post(f"{simulator.base_url}/responses", RESPONSES)
    assert (status, response["status"], response["error"]["code"], response["usage"]) == (200, "failed", "server_error", None)
    assert post(f"{simulator.base_url}/chat/completions", CHAT)[0] == 500, "the other API has no such status"
    assert simulator.stats()["answered"] == 0


def test_a_failure_can_be_meant_for_some_requests_only(simulator: OpenAISimulator) -> None:
    simulator.fail("503", times=None, containing="knots")
    assert post(f"{simulator.base_url}/responses", RESPONSES)[0] == 200
    assert post(f"{simulator.base_url}/responses", RESPONSES | {"input": "About knots."})[0] == 503


def test_a_reset_cuts_the_body_and_an_endless_one_goes_on(simulator: OpenAISimulator) -> None:
    simulator.fail("reset")
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        post(f"{simulator.base_url}/responses", RESPONSES)
    simulator.fail("endless")
    connection = http.client.HTTPConnection("127.0.0.1", simulator.port, timeout=2)
    connection.request("POST", "/v1/responses", json.dumps(RESPONSES), {"Authorization": "Bearer sk-test"})
    body = connection.getresponse()
    started = time.monotonic()
    assert body.read(20).isspace()
    assert time.monotonic() - started > 0.2
    connection.close()


def test_it_carries_five_hundred_calls_at_once(simulator: OpenAISimulator) -> None:
    simulator.latency = 1.5

    async def ask(number: int) -> bytes:
        body = json.dumps(RESPONSES | {"input": f"Post {number}"}).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
        writer.write(b"POST /v1/responses HTTP/1.1\r\nauthorization: Bearer k\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        status = await reader.readline()
        writer.close()
        return status

    async def ask_all() -> list[bytes]:
        return await asyncio.gather(*(ask(number) for number in range(500)))

    assert set(asyncio.run(ask_all())) == {b"HTTP/1.1 200 OK\r\n"}
    assert simulator.most_in_flight == 500
    assert simulator.paid_twice == 0


def test_another_process_can_be_started_steered_and_counted() -> None:
    command = [sys.executable, "-m", "simulators.openai", "--port", "0", "--fail", "429:1:0.5", "--latency", "0.01"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout
        url = process.stdout.readline().strip().removeprefix("OPENAI_BASE_URL=")
        root = url.removesuffix("/v1")
        try:
            assert post(f"{url}/responses", RESPONSES)[0] == 429
            assert post(f"{url}/responses", RESPONSES)[0] == 200
            assert post(f"{root}/_stats", None)[1]["requests"] == 2
            orders = {"fail": ["500:all"], "answers": {"Post": {"title": "a", "text": "b"}}, "latency": 0, "reset": True}
            assert post(f"{root}/_control", orders)[1]["requests"] == 0
            assert [post(f"{url}/responses", RESPONSES)[0] for _ in range(2)] == [500, 500]
            post(f"{root}/_control", {"fail": []})
            assert '"a"' in post(f"{url}/responses", RESPONSES)[1]["output"][0]["content"][0]["text"]
            assert post(f"{root}/_control", {"fail": ["burn"]})[0] == 400
        finally:
            process.kill()  # SIGTERM may be ignored, as in what a shell started in the background


def test_another_process_sets_limits_and_batches_by_the_same_names(simulator: OpenAISimulator) -> None:
    control = simulator.base_url.replace("/v1", "/_control")
    orders = {"rpm": 2, "tpm": 500, "retry_after_header": False, "batch_latency": 3, "hold_batches": True, "finish_batches": True}
    assert post(control, orders)[0] == 200
    assert (simulator.limits.rpm, simulator.limits.tpm, simulator.retry_after_header) == (2, 500, False)
    assert (simulator.batch_latency, simulator.hold_batches) == (3, True)
    assert post(control, {"rpm": None})[0] == 200
    assert (simulator.limits.rpm, simulator.limits.tpm) == (None, 500), "the other limit stays"


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"fail": [{"kind": "refusal", "containing": "Tides"}]}, "fail: expected a list of KIND[@PLACE][:TIMES[:RETRY_AFTER]], such as"),
        ({"fail": "429"}, "fail: expected a list"),
        ({"fail": ["burn"]}, "unknown failure 'burn'"),
        ({"rpm": 0}, "rpm: expected a whole number, 1 or more, or null"),
        ({"latency": "2"}, "latency: expected seconds, 0 or more"),
        ({"hold_batches": "no"}, "hold_batches: expected true or false"),
        ({"answers": ["a"]}, "answers: expected documents by the name of their schema"),
        ({"burn": True}, "no such order: burn; there are latency"),
    ],
)
def test_an_order_that_is_none_is_told_and_nothing_is_changed(simulator: OpenAISimulator, order: dict[str, Any], said: str) -> None:
    simulator.fail("503", times=None)
    post(f"{simulator.base_url}/responses", RESPONSES)
    status, problem = post(simulator.base_url.replace("/v1", "/_control"), {"reset": True, "latency": 9, "fail": []} | order)
    assert (status, said in problem["message"]) == (400, True), problem
    assert (simulator.count, simulator.latency, len(simulator.failures)) == (1, 0.0, 1)


def test_an_answer_that_raises_is_a_500_with_the_errors_name_and_is_not_paid(simulator: OpenAISimulator) -> None:
    simulator.answers = lambda asked: asked.body["title"]
    status, problem = post(f"{simulator.base_url}/responses", RESPONSES)
    assert (status, problem["code"], problem["message"]) == (500, "KeyError", "The simulator fell over: 'title'")
    simulator.answers = None
    assert post(f"{simulator.base_url}/responses", RESPONSES)[0] == 200
    assert (simulator.stats()["answered"], simulator.paid_twice) == (1, 0)


def test_the_command_line_sets_what_a_test_sets() -> None:
    arguments = (
        "--rpm 60 --tpm 9000 --no-retry-after --batch-latency 5 --hold-batches --fail 503@poll:2 --embedder simulators.nearness:near"
    )
    simulator = OpenAISimulator(**options([*arguments.split(), "--port", "0"]))
    assert (simulator.limits.rpm, simulator.limits.tpm, simulator.retry_after_header) == (60, 9000, False)
    assert (simulator.batch_latency, simulator.hold_batches, simulator.latency) == (5, True, 0)
    assert simulator.failures == [Failure("503", 2, on="poll")]


@pytest.mark.parametrize(
    ("option", "value"),
    [("--rpm", "0"), ("--answers", "nowhere:nothing"), ("--fail", "burn"), ("--fail", "503@home"), ("--fail", "empty@poll")],
)
def test_the_command_line_says_what_it_does_not_take(capsys: pytest.CaptureFixture[str], option: str, value: str) -> None:
    with pytest.raises(SystemExit) as ended:
        options([option, value])
    assert ended.value.code == 2
    assert f"argument {option}" in capsys.readouterr().err


def test_an_unknown_failure_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="unknown failure 'burn'; there are 400, echo"):
        Failure.parse("burn:2")
