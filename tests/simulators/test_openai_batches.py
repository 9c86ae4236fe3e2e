"""Files and batches, as the real SDK uploads, starts, watches, cancels and collects them."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from openai import APIConnectionError, BadRequestError, ConflictError, NotFoundError, OpenAI, RateLimitError
from openai.types import Batch
from openai.types.responses import Response
from pydantic import BaseModel

from simulators.openai import OpenAISimulator
from simulators.openai_limits import RateLimits

MODEL = "gpt-4.1-mini"


class Line(BaseModel):
    """One line of a file of results."""

    id: str
    custom_id: str
    response: dict[str, Any] | None
    error: dict[str, str] | None


def row(number: int, words: str | None = None, **change: Any) -> dict[str, Any]:
    body = {"model": MODEL, "input": words or f"About tide {number}."}
    return {"custom_id": f"post-{number}", "method": "POST", "url": "/v1/responses", "body": body} | change


def jsonl(rows: Iterable[Any]) -> bytes:
    return b"\n".join(each if isinstance(each, bytes) else json.dumps(each).encode() for each in rows)


def start(client: OpenAI, rows: Iterable[Any], endpoint: Any = "/v1/responses", **more: Any) -> Batch:
    file = client.files.create(file=("in.jsonl", jsonl(rows)), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **more)


def results(client: OpenAI, file: str | None) -> list[Line]:
    assert file
    return [Line.model_validate_json(line) for line in client.files.content(file).text.splitlines()]


def test_a_file_comes_back_as_it_was_uploaded_until_it_is_deleted(client: OpenAI) -> None:
    content = '{"a": "Zoë\u2028Ωmega\\r\\n"}\r\n{"b": 2}\n'.encode()
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    assert (file.filename, file.bytes, file.purpose, file.status) == ("in.jsonl", len(content), "batch", "processed")
    assert client.files.content(file.id).read() == content
    assert client.files.retrieve(file.id) == file
    assert client.files.delete(file.id).deleted
    with pytest.raises(NotFoundError, match=f"No such File object: {file.id}"):
        client.files.content(file.id)


@pytest.mark.parametrize("content", [b"", b"notes about tides\n{}"])
def test_what_is_no_file_of_json_lines_is_not_taken(client: OpenAI, content: bytes) -> None:
    with pytest.raises(BadRequestError, match=r"Must be \.jsonl"):
        client.files.create(file=("in.jsonl", content), purpose="batch")


def test_a_batch_answers_every_line_in_another_order_and_in_the_documents_of_the_endpoint(
    simulator: OpenAISimulator, client: OpenAI
) -> None:
    started = start(client, [row(number) for number in range(20)], metadata={"run": "r-1"})
    assert (started.status, started.output_file_id, started.metadata) == ("validating", None, {"run": "r-1"})
    ended = client.batches.retrieve(started.id)
    assert (ended.status, ended.errors, ended.error_file_id, ended.model) == ("completed", None, None, MODEL)
    assert ended.request_counts
    assert (ended.request_counts.total, ended.request_counts.completed, ended.request_counts.failed) == (20, 20, 0)
    assert ended.in_progress_at
    assert ended.finalizing_at
    assert ended.completed_at
    lines = results(client, ended.output_file_id)
    assert sorted(line.custom_id for line in lines) == sorted(f"post-{number}" for number in range(20))
    assert [line.custom_id for line in lines] != [f"post-{number}" for number in range(20)], "order must not be relied on"
    spent = 0
    for line in lines:
        assert line.response
        assert (line.response["status_code"], line.error) == (200, None)
        answer = Response.model_validate(line.response["body"])
        assert answer.output_text == "Certainly."
        assert answer.usage
        spent += answer.usage.total_tokens
    assert ended.usage
    assert ended.usage.total_tokens == spent
    assert (simulator.count, len(simulator.batch_lines), simulator.paid_twice) == (0, 20, 0)


def test_chats_and_embeddings_go_in_batches_too(client: OpenAI) -> None:
    chat = {"model": MODEL, "messages": [{"role": "user", "content": "Tides?"}]}
    ended = client.batches.retrieve(start(client, [row(1, url="/v1/chat/completions", body=chat)], "/v1/chat/completions").id)
    (line,) = results(client, ended.output_file_id)
    assert line.response
    assert line.response["body"]["choices"][0]["message"]["content"] == "Certainly."
    texts = {"model": "text-embedding-3-small", "input": ["tides", "knots"], "dimensions": 8}
    ended = client.batches.retrieve(start(client, [row(1, url="/v1/embeddings", body=texts)], "/v1/embeddings").id)
    (line,) = results(client, ended.output_file_id)
    assert line.response
    assert [len(each["embedding"]) for each in line.response["body"]["data"]] == [8, 8]


def test_a_batch_takes_its_time_and_says_how_far_it_is(simulator: OpenAISimulator, client: OpenAI) -> None:
    now = 0.0
    simulator.batch_latency = 80
    simulator.batches.clock = lambda: now
    batch = start(client, [row(number) for number in range(4)])
    seen = []
    for now in (0, 19, 20, 45, 60, 79, 80):  # noqa: B007
        looked = client.batches.retrieve(batch.id)
        assert looked.request_counts
        seen.append((looked.status, looked.request_counts.completed))
        assert (looked.output_file_id is not None) == (looked.status == "completed")
    assert seen == [
        ("validating", 0),
        ("validating", 0),
        ("in_progress", 0),
        ("in_progress", 2),
        ("finalizing", 4),
        ("finalizing", 4),
        ("completed", 4),
    ]


def test_a_batch_that_is_held_waits_for_the_word(simulator: OpenAISimulator, client: OpenAI) -> None:
    simulator.hold_batches = True
    batch = start(client, [row(1), row(2)])
    assert [client.batches.retrieve(batch.id).status for _ in range(3)] == ["in_progress"] * 3
    assert simulator.stats()["batches"] == {"in_progress": 1}
    assert simulator.finish_batches() == 1
    assert client.batches.retrieve(batch.id).status == "completed"
    assert simulator.finish_batches() == 0


def test_single_lines_fail_and_the_others_do_not(simulator: OpenAISimulator, client: OpenAI) -> None:
    simulator.fail("500", containing="tide 3")
    simulator.fail("refusal", containing="tide 1")
    simulator.fail("reset")  # cannot happen within a batch: it waits for a request
    bad = {"model": MODEL, "input": "x", "temprature": 1}
    ended = client.batches.retrieve(start(client, [*(row(number) for number in range(4)), row(9, body=bad)]).id)
    assert ended.status == "completed"
    assert ended.request_counts
    assert (ended.request_counts.completed, ended.request_counts.failed) == (3, 2)
    failed = {line.custom_id: line.response for line in results(client, ended.error_file_id)}
    assert failed["post-3"]
    assert failed["post-9"]
    assert (failed["post-3"]["status_code"], failed["post-3"]["body"]["error"]["code"]) == (500, "server_error")
    assert (failed["post-9"]["status_code"], failed["post-9"]["body"]["error"]["param"]) == (400, "temprature")
    good = {line.custom_id: line.response for line in results(client, ended.output_file_id)}
    assert good["post-1"]
    assert good["post-1"]["body"]["output"][0]["content"][0]["type"] == "refusal"
    assert simulator.stats()["answered"] == 3
    with pytest.raises(APIConnectionError):
        client.responses.create(model=MODEL, input="About knots.")


def test_a_batch_expires_half_done_and_only_the_half_is_paid(simulator: OpenAISimulator, client: OpenAI) -> None:
    simulator.hold_batches = True
    batch = start(client, [row(number) for number in range(5)])
    assert simulator.expire_batches() == 1
    ended = client.batches.retrieve(batch.id)
    assert (ended.status, bool(ended.expired_at), ended.completed_at) == ("expired", True, None)
    done, undone = results(client, ended.output_file_id), results(client, ended.error_file_id)
    assert (len(done), len(undone)) == (2, 3)
    assert all(line.response is None and line.error and line.error["code"] == "batch_expired" for line in undone)
    assert simulator.stats()["answered"] == 2
    again = start(client, [row(int(line.custom_id.removeprefix("post-"))) for line in undone])
    simulator.finish_batches()
    assert client.batches.retrieve(again.id).status == "completed"
    assert (simulator.stats()["answered"], simulator.paid_twice) == (5, 0), "a client that sends only the rest pays nothing twice"


def test_a_cancelled_batch_keeps_what_was_done(simulator: OpenAISimulator, client: OpenAI) -> None:
    now = 0.0
    simulator.batch_latency = 80
    simulator.batches.clock = lambda: now
    batch = start(client, [row(number) for number in range(4)])
    now = 40
    assert client.batches.cancel(batch.id).status == "cancelling"
    ended = client.batches.retrieve(batch.id)
    assert (ended.status, bool(ended.cancelling_at), bool(ended.cancelled_at)) == ("cancelled", True, True)
    assert len(results(client, ended.output_file_id)) == 2
    assert {line.error["code"] for line in results(client, ended.error_file_id) if line.error} == {"batch_cancelled"}
    assert client.batches.cancel(batch.id).status == "cancelled"
    now = 200
    finished = start(client, [row(7)])
    now = 300
    with pytest.raises(ConflictError, match="Cannot cancel a batch with status 'completed'"):
        client.batches.cancel(finished.id)


@pytest.mark.parametrize(
    ("second", "code", "param"),
    [
        (b"{invalid json", "invalid_json_line", None),
        (b"[1, 2]", "invalid_json_line", None),
        (b"", "invalid_json_line", None),
        ({key: value for key, value in row(2).items() if key != "custom_id"}, "missing_required_parameter", "custom_id"),
        ({key: value for key, value in row(2).items() if key != "body"}, "missing_required_parameter", "body"),
        (row(2, body=[]), "invalid_type", "body"),
        (row(2, method="GET"), "invalid_method", "method"),
        (row(2, url="/v1/embeddings"), "invalid_url", "url"),
        (row(1, "Other words."), "duplicate_custom_id", "custom_id"),
        (row(2, body={"model": "gpt-4.1", "input": "x"}), "mismatched_model", "body.model"),
        (row(2, body={"model": "gpt-4.1-maxi", "input": "x"}), "model_not_found", "body.model"),
        (row(2, body={"input": "x"}), "invalid_request", "body.model"),
        (row(2, body={"model": MODEL}), "invalid_request", "body.input"),
        (row(2, body={"model": MODEL, "input": "x", "stream": True}), "streaming_unsupported", "body.stream"),
    ],
)
def test_one_wrong_line_fails_the_whole_batch_and_is_named(
    simulator: OpenAISimulator, client: OpenAI, second: Any, code: str, param: str | None
) -> None:
    started = start(client, [row(1), second, row(3)])
    assert started.status == "validating"
    ended = client.batches.retrieve(started.id)
    assert (ended.status, bool(ended.failed_at), ended.output_file_id, ended.error_file_id) == ("failed", True, None, None)
    assert ended.errors
    assert ended.errors.data
    assert [(error.code, error.param, error.line) for error in ended.errors.data] == [(code, param, 2)]
    assert simulator.stats()["answered"] == 0


def test_a_batch_of_a_file_that_is_not_there_fails_later(client: OpenAI) -> None:
    started = client.batches.create(input_file_id="file-nowhere", endpoint="/v1/responses", completion_window="24h")
    ended = client.batches.retrieve(started.id)
    assert ended.status == "failed"
    assert ended.errors
    assert ended.errors.data
    assert ended.errors.data[0].message
    assert ended.errors.data[0].message.startswith("Cannot find file file-nowhere")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"endpoint": "/v1/images"}, "endpoint"),
        ({"completion_window": "48h"}, "completion_window"),
        ({"metadata": {"tags": ["a"]}}, "metadata.tags"),
        ({"metadata": {"long": "x" * 513}}, "metadata"),
        ({"extra_body": {"priority": "high"}}, "priority"),
    ],
)
def test_a_batch_that_the_real_endpoint_refuses_is_refused(client: OpenAI, change: dict[str, Any], param: str) -> None:
    asked: dict[str, Any] = {"input_file_id": "file-1", "endpoint": "/v1/responses", "completion_window": "24h"}
    with pytest.raises(BadRequestError) as refused:
        client.batches.create(**asked | change)
    assert refused.value.param == param


def test_batches_are_listed_from_the_newest_page_by_page(client: OpenAI) -> None:
    started = [start(client, [row(number)], metadata={"number": str(number)}).id for number in range(5)]
    assert [batch.id for batch in client.batches.list()] == started[::-1]
    assert [batch.id for batch in client.batches.list(limit=2)] == started[::-1], "the SDK turns the pages"
    page = client.batches.list(limit=2, after=started[4])
    assert ([batch.id for batch in page.data], page.has_more) == (started[3:1:-1], True)
    assert page.data[0].status == "completed"
    with pytest.raises(BadRequestError):
        client.batches.list(limit=101)
    for unknown in (client.batches.retrieve, client.batches.cancel):
        with pytest.raises(NotFoundError, match="No batch found with id 'batch_none'"):
            unknown("batch_none")


def test_a_reply_that_is_lost_on_the_wire_leaves_a_batch_that_can_be_found(simulator: OpenAISimulator, client: OpenAI) -> None:
    file = client.files.create(file=("in.jsonl", jsonl([row(1)])), purpose="batch")
    simulator.fail("reset", on="batches")
    with pytest.raises(APIConnectionError):
        client.batches.create(input_file_id=file.id, endpoint="/v1/responses", completion_window="24h", metadata={"ours": "1"})
    (found,) = client.batches.list()
    assert found.metadata == {"ours": "1"}
    simulator.fail("429", on="files", containing=str(found.output_file_id))
    with pytest.raises(RateLimitError):
        client.files.content(str(found.output_file_id))
    assert len(results(client, found.output_file_id)) == 1


def test_batches_have_limits_of_their_own(simulator: OpenAISimulator, client: OpenAI) -> None:
    simulator.limits = RateLimits(rpm=1, tpm=1)
    ended = client.batches.retrieve(start(client, [row(number) for number in range(9)]).id)
    assert ended.status == "completed"
    assert simulator.limits.throttled == 0
