"""The simulated Replicate as the official client and plain HTTP see it."""

import base64
import io
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import replicate
from PIL import Image
from replicate.exceptions import ModelError, ReplicateError
from replicate.webhook import InvalidSignatureError, Webhooks, WebhookSigningSecret

from simulators.loopback import HttpReply, HttpRequest, LoopbackServer
from simulators.replicate import ReplicateSimulator
from simulators.replicate_failures import Failure
from simulators.replicate_options import options
from simulators.replicate_predictions import seconds
from simulators.replicate_webhooks import SECRET

NSFW = "97116600cabd3037e5f22ca08ffcc33b92cfacebf7ccd3609e9c1d29e43d3a8d"
DINO = "efd10a8ddc57ea28773327e881ce95e20cc1d734c589f7dd01d2036921ed78aa"


def picture(colour: str, size: tuple[int, int] = (64, 48)) -> str:
    """A JPEG of one colour as a data URI."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "JPEG")
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@pytest.fixture
def simulator() -> Iterator[ReplicateSimulator]:
    with ReplicateSimulator() as running:
        yield running


@pytest.fixture
def client(simulator: ReplicateSimulator) -> replicate.Client:
    """The official client, without its own retries."""
    return replicate.Client(api_token="r8_test", base_url=simulator.base_url, transport=httpx.HTTPTransport())


@pytest.fixture
def plain(simulator: ReplicateSimulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{simulator.base_url}/v1", headers={"authorization": "Bearer r8_test"}, timeout=5) as opened:
        yield opened


def create(plain: httpx.Client, colour: str = "magenta", **more: Any) -> dict[str, Any]:
    reply = plain.post("/predictions", json={"version": NSFW, "input": {"image": picture(colour)}} | more)
    assert reply.status_code == 201, reply.text
    return dict(reply.json())


def test_the_client_creates_a_prediction_and_finds_it_done(simulator: ReplicateSimulator, client: replicate.Client) -> None:
    prediction = client.predictions.create(version=NSFW, input={"image": picture("magenta")})
    prediction.wait()
    assert (prediction.status, prediction.output) == ("succeeded", "nsfw")
    assert prediction.metrics
    assert client.predictions.get(prediction.id).output == "nsfw"
    assert (simulator.count, simulator.paid_twice) == (1, 0)
    client.predictions.create(version=NSFW, input={"image": picture("magenta")})
    assert simulator.paid_twice == 1, "the same question is paid each time that it is asked"


def test_an_input_is_told_without_its_data_uris(simulator: ReplicateSimulator, plain: httpx.Client) -> None:
    given = {"image": picture("red"), "mask": "https://example.com/mask.png", "more": [picture("blue"), 1]}
    made = plain.post("/predictions", json={"version": NSFW, "input": given}).json()
    assert made["input"] == plain.get(f"/predictions/{made['id']}").json()["input"] == {"mask": given["mask"], "more": [1]}
    assert len(simulator.requests[0].files) == 3, "the model has them all the same"


def test_what_is_painted_is_what_is_found(client: replicate.Client) -> None:
    def said(reference: str, colour: str) -> Any:
        return client.run(reference, input={"image": picture(colour)}, use_file_output=False)

    guard = "meta/llama-guard-4-12b"
    assert [said(guard, "red"), said(guard, "blue")] == ["unsafe\nS1,S9", "safe"]
    found = said(f"adirik/grounding-dino:{DINO}", "red")
    assert found["detections"] == [{"bbox": [16, 12, 48, 36], "label": "gun", "confidence": 0.82}]


def test_it_goes_from_starting_over_processing_to_its_end(simulator: ReplicateSimulator, plain: httpx.Client) -> None:
    simulator.latency = 100
    made = create(plain)
    seen = []
    for passed in (0, 30, 80):
        simulator.pass_time(passed)
        seen.append(plain.get(f"/predictions/{made['id']}").json()["status"])
    assert seen == ["starting", "processing", "succeeded"]


def test_an_hour_after_its_end_input_and_output_are_deleted(simulator: ReplicateSimulator, plain: httpx.Client) -> None:
    made = create(plain)
    simulator.pass_time(3590)
    assert plain.get(f"/predictions/{made['id']}").json()["output"] == "nsfw"
    simulator.pass_time(20)
    later = plain.get(f"/predictions/{made['id']}").json()
    assert (later["status"], later["data_removed"], later["output"], later["input"]) == ("succeeded", True, None, {})


def test_it_is_cancelled_by_hand_or_by_its_deadline(simulator: ReplicateSimulator, plain: httpx.Client) -> None:
    simulator.latency = 100
    by_hand = create(plain)
    assert plain.post(f"/predictions/{by_hand['id']}/cancel").json()["status"] == "canceled"
    document = {"version": NSFW, "input": {"image": picture("red")}}
    running = plain.post("/predictions", json=document, headers={"cancel-after": "50s"}).json()
    waiting = plain.post("/predictions", json=document, headers={"cancel-after": "20s"}).json()
    simulator.pass_time(60)
    ends = [plain.get(f"/predictions/{made['id']}").json()["status"] for made in (running, waiting)]
    assert ends == ["canceled", "aborted"], "one that ran is billed, one that had not begun is not"
    assert [seconds(text) for text in ("90s", "15m", "1h", "30", "soon")] == [90, 900, 3600, 30, None]


def test_prefer_wait_holds_the_answer_back_until_it_is_there(simulator: ReplicateSimulator, plain: httpx.Client) -> None:
    simulator.latency = 0.1
    document = {"version": NSFW, "input": {"image": picture("red")}}
    assert plain.post("/predictions", json=document).json()["status"] == "starting"
    assert plain.post("/predictions", json=document, headers={"prefer": "wait=5"}).json()["output"] == "normal"


def test_a_file_is_uploaded_and_is_the_same_question_as_its_data_uri(
    simulator: ReplicateSimulator, plain: httpx.Client, client: replicate.Client
) -> None:
    content = base64.b64decode(picture("magenta").partition(",")[2])
    uploaded = client.files.create(io.BytesIO(content))
    assert uploaded.size == len(content)
    reply = plain.post("/predictions", json={"version": NSFW, "input": {"image": uploaded.urls["get"]}})
    assert reply.json()["output"] == "nsfw"
    create(plain)
    assert simulator.paid_twice == 1


def test_a_file_that_cannot_be_fetched_fails_the_prediction(plain: httpx.Client) -> None:
    reply = plain.post("/predictions", json={"version": NSFW, "input": {"image": "http://127.0.0.1:9/frame.jpg?signature=abc"}})
    assert reply.json()["status"] == "failed"
    assert "Forbidden for url" in reply.json()["error"]


@pytest.mark.parametrize(
    ("path", "document", "status"),
    [
        ("/predictions", {"version": "f" * 64, "input": {}}, 422),
        ("/predictions", {"version": NSFW}, 422),
        ("/predictions", {"version": NSFW, "input": {"image": "data:image/png;base64," + "A" * 1_000_000}}, 422),
        ("/models/nobody/nothing/predictions", {"input": {}}, 404),
        ("/predictions", [1, 2], 400),
    ],
    ids=["unknown version", "no input", "long data URI", "unknown model", "no mapping"],
)
def test_what_the_real_one_refuses_is_refused(
    simulator: ReplicateSimulator, plain: httpx.Client, path: str, document: Any, status: int
) -> None:
    reply = plain.post(path, json=document)
    assert reply.status_code == status
    assert reply.json()["status"] == status
    assert simulator.count == 0


def test_only_the_right_token_is_let_in(simulator: ReplicateSimulator) -> None:
    simulator.token = "r8_right"
    wrong = replicate.Client(api_token="r8_wrong", base_url=simulator.base_url, transport=httpx.HTTPTransport())
    with pytest.raises(ReplicateError) as refused:
        wrong.predictions.create(version=NSFW, input={"image": picture("red")})
    assert refused.value.status == 401
    with pytest.raises(ReplicateError) as refused:
        wrong.accounts.current()
    assert refused.value.status == 401


def test_it_says_whose_token_it_is(client: replicate.Client) -> None:
    account = client.accounts.current()
    assert (account.type, account.username) == ("user", "simulated")


def test_more_creates_than_the_account_may_make_are_told_when_to_come_back(simulator: ReplicateSimulator, plain: httpx.Client) -> None:
    simulator.rpm = 6
    simulator.reset()
    for _ in range(6):
        create(plain)
    reply = plain.post("/predictions", json={"version": NSFW, "input": {"image": picture("red")}})
    assert reply.status_code == 429
    assert "resets in ~10s" in reply.json()["detail"]
    simulator.pass_time(11)
    create(plain)
    assert (simulator.stats()["throttled"], simulator.most_in_window(60)) == (1, 7)


@pytest.mark.parametrize(
    ("kind", "status", "says"),
    [("429", 429, "resets in ~30s"), ("429-bare", 429, "throttled"), ("402", 402, "credit"), ("500", 500, "wrong"), ("422", 422, "input")],
)
def test_a_failure_is_a_problem_document_and_makes_nothing(
    simulator: ReplicateSimulator, plain: httpx.Client, kind: str, status: int, says: str
) -> None:
    simulator.fail(kind)
    reply = plain.post("/predictions", json={"version": NSFW, "input": {"image": picture("red")}})
    assert reply.status_code == status
    assert says in reply.json()["detail"]
    assert simulator.count == 0
    create(plain)


@pytest.mark.parametrize("kind", ["reset", "lost"])
def test_an_answer_that_is_lost_was_made_and_is_paid(simulator: ReplicateSimulator, plain: httpx.Client, kind: str) -> None:
    simulator.fail(kind)
    with pytest.raises(httpx.TransportError):
        create(plain)
    assert simulator.count == 1
    create(plain)
    assert simulator.paid_twice == 1


@pytest.mark.parametrize(("kind", "error"), [("failed", "cannot identify"), ("interrupted", "(code: PA)")])
def test_a_prediction_that_failed_says_why(simulator: ReplicateSimulator, client: replicate.Client, kind: str, error: str) -> None:
    simulator.fail(kind)
    with pytest.raises(ModelError) as failed:
        client.run(f"falcons-ai/nsfw_image_detection:{NSFW}", input={"image": picture("red")})
    assert error in str(failed.value)


def test_a_prediction_may_be_stuck_or_deleted_or_say_something_else(simulator: ReplicateSimulator, plain: httpx.Client) -> None:
    for kind in ("stuck", "gone", "number"):
        simulator.fail(kind)
    stuck, gone, number = create(plain), create(plain), create(plain)
    simulator.pass_time(500)
    assert plain.get(f"/predictions/{stuck['id']}").json()["status"] == "starting"
    assert plain.get(f"/predictions/{gone['id']}").json()["data_removed"]
    assert number["output"] == 17


class Receiver(LoopbackServer):
    """Takes webhooks."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[HttpRequest] = []

    async def answer(self, request: HttpRequest) -> HttpReply:
        self.requests.append(request)
        return HttpReply()


def test_a_webhook_comes_when_it_is_done_and_its_signature_holds(simulator: ReplicateSimulator, plain: httpx.Client) -> None:
    with Receiver() as receiver:
        made = create(plain, webhook=f"http://127.0.0.1:{receiver.port}/hook", webhook_events_filter=["completed"])
        deadline = time.monotonic() + 10
        while not receiver.requests:
            assert time.monotonic() < deadline, "no webhook came"
            time.sleep(0.01)
        (hook,) = receiver.requests
    assert json.loads(hook.body)["id"] == made["id"]
    secret = WebhookSigningSecret(key=plain.get("/webhooks/default/secret").json()["key"])
    assert secret.key == SECRET
    Webhooks.validate(headers=hook.headers, body=hook.body.decode(), secret=secret)
    with pytest.raises(InvalidSignatureError):
        Webhooks.validate(headers=hook.headers, body=hook.body.decode() + " ", secret=secret)


def test_another_process_sets_it_by_its_command_line_and_over_http(simulator: ReplicateSimulator) -> None:
    given = options(["--port", "0", "--latency", "1", "--fail", "429:3:12", "--fail", "503@poll:all"])
    assert given["failures"] == [Failure("429", 3, 12.0), Failure("503", None, on="poll")]

    def control(**orders: Any) -> Any:
        request = urllib.request.Request(f"{simulator.base_url}/_control", json.dumps(orders).encode(), method="POST")
        with urllib.request.urlopen(request) as reply:
            return json.load(reply)

    assert control(latency=2.5, fail=["stuck:2"], rpm=600)["creates"] == 0
    assert (simulator.latency, simulator.failures, simulator.rpm) == (2.5, [Failure("stuck", 2)], 600)


@pytest.mark.parametrize(
    ("order", "said"),
    [({"fail": [{"kind": "429"}]}, "fail: expected a list of KIND"), ({"pass_time": "1 h"}, "pass_time: expected seconds")],
)
def test_an_order_that_is_none_is_told_and_nothing_is_changed(simulator: ReplicateSimulator, order: dict[str, Any], said: str) -> None:
    reply = httpx.post(f"{simulator.base_url}/_control", json={"latency": 9} | order)
    assert (reply.status_code, said in reply.json()["detail"]) == (400, True), reply.text
    assert simulator.latency == 0


def test_an_answer_that_raises_is_a_500_with_the_errors_name_and_is_not_paid(simulator: ReplicateSimulator, plain: httpx.Client) -> None:
    good, simulator.answers = simulator.answers, lambda asked: asked.files[7]
    reply = plain.post("/predictions", json={"version": NSFW, "input": {"image": picture("red")}})
    assert (reply.status_code, reply.json()["title"]) == (500, "IndexError")
    simulator.answers = good
    create(plain, "red")
    assert (simulator.stats()["paid"], simulator.paid_twice) == (1, 0)


def test_it_runs_as_a_module_and_says_where() -> None:
    command = [sys.executable, "-m", "simulators.replicate", "--port", "0", "--latency", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            name, _, url = process.stdout.readline().strip().partition("=")
            assert name == "REPLICATE_BASE_URL"
            with urllib.request.urlopen(f"{url}/_stats") as reply:
                assert json.load(reply)["creates"] == 0
        finally:
            process.terminate()
