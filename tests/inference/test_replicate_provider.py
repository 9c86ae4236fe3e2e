"""Predictions through the whole gateway: booked by their id before anybody waits, resumed by whoever comes next, and paid once."""

import asyncio
import hashlib
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from pressroom.errors import BadInput, PressroomError, Transient
from pressroom.inference.hosted import HostedRunner
from pressroom.inference.replicate_account import LONGEST_DATA_URI, Missing, ReplicateAccount, retry_after
from pressroom.inference.types import Detection, Media
from pressroom.settings import Settings
from pressroom.store import calls
from pressroom.store.engine import Store, open_store
from pressroom.store.tables import ModelCallRow
from simulators.replicate import ReplicateSimulator
from tests.inference.replicate_samples import TOKEN, detectors_of, one_model, paint, quiet
from tests.processes import PROCESSES

TRIES, KILLS = 2, 20
SECRETS = (TOKEN, "data:image", "base64", "Signature")


@pytest.fixture
def simulator() -> Iterator[ReplicateSimulator]:
    with ReplicateSimulator(token=TOKEN) as running:
        yield running


@pytest.fixture
def frame(tmp_path: Path) -> Media:
    """A video of one magenta frame: one call of the detector of nudity."""
    return paint(tmp_path / "video", ("magenta",))


def rows_of(store: Store) -> list[ModelCallRow]:
    with store.transaction() as session:
        return list(session.scalars(sa.select(ModelCallRow).order_by(ModelCallRow.item)))


def row_of(store: Store) -> ModelCallRow:
    (row,) = rows_of(store)
    return row


def detect(runner: HostedRunner, media: Media) -> Detection:
    return asyncio.run(runner.detect(media, quiet))


def outcome(store: Store, simulator: ReplicateSimulator, media: Media, *, timeout_s: float | None = None) -> str:
    """What looking at the video ends in: the labels found, or the kind of the error with its words."""
    with detectors_of(store, simulator.base_url, one_model("nudity"), tries=TRIES, timeout_s=timeout_s) as runners:
        try:
            found = detect(runners["nudity"], media)
        except PressroomError as error:
            return f"{type(error).__name__}: {error}"
        return ", ".join(one.label for one in found.signals) or f"Permanent: {found.coverage.reason}"


class Becomes(NamedTuple):
    """What a fault that stays is to the asker, and how many predictions were created for it."""

    seen: str
    created: int


PERMANENT, PASSES = Becomes("Permanent", 0), Becomes("Transient", 0)
PAID = Becomes("Transient", TRIES)  # an answer that is lost takes the id with it: Replicate has no key by which a create could be repeated
FAULTS = {
    **dict.fromkeys(("400", "401", "402", "403", "404", "422"), PERMANENT),
    **dict.fromkeys(("500", "502", "503"), PASSES),
    **dict.fromkeys(("reset", "lost", "html", "invalid-json", "other-shape", "hang", "endless"), PAID),
    "429": Becomes("Throttled", 0),
    "429-bare": Becomes("Throttled", 0),
    "failed": Becomes("Permanent", 1),
    "interrupted": Becomes("Transient", TRIES),
    "canceled": Becomes("Transient", TRIES),
    "gone": Becomes("Transient", TRIES),
    "stuck": Becomes("Transient", 1),  # it is waited for: see the deadline below
}


@pytest.mark.parametrize(("kind", "becomes"), FAULTS.items(), ids=FAULTS)
def test_a_fault_that_stays_ends_as_it_should_and_tells_no_secret(
    store: Store, simulator: ReplicateSimulator, frame: Media, caplog: pytest.LogCaptureFixture, kind: str, becomes: Becomes
) -> None:
    simulator.fail(kind, times=None, retry_after=0.05)
    with caplog.at_level(logging.DEBUG):
        seen = outcome(store, simulator, frame, timeout_s=0.6 if kind in ("hang", "endless", "stuck") else None)
    assert seen.startswith(becomes.seen), seen
    assert simulator.count == becomes.created
    assert simulator.tries["create"] == (1 if becomes.seen == "Permanent" or kind == "stuck" else TRIES)
    row = row_of(store)
    assert row.status == "failed"
    assert bool(row.remote_id) == (kind == "stuck"), "what came to nothing is forgotten"
    told = "\n".join([seen, row.error or "", json.dumps(row.request), caplog.text])
    assert not [secret for secret in SECRETS if secret in told]
    if kind in ("401", "402", "403", "404", "422"):
        assert "REPLICATE_API_TOKEN" in seen
    simulator.failures.clear()
    simulator.pass_time(700 if kind == "stuck" else 0)
    assert outcome(store, simulator, frame) == "explicit", "when it is over, the next run finds what there is"


@pytest.mark.parametrize("kind", ["429", "500", "503", "reset", "lost", "html", "invalid-json", "other-shape"])
def test_a_look_that_fails_is_followed_by_another_one_for_the_same_prediction(
    store: Store, simulator: ReplicateSimulator, frame: Media, kind: str
) -> None:
    simulator.latency = 0.3
    simulator.fail(kind, on="poll", retry_after=0.05)
    assert outcome(store, simulator, frame) == "explicit"
    assert (simulator.count, simulator.paid_twice, row_of(store).attempts) == (1, 0, 2)


@pytest.mark.parametrize("kind", ["401", "402", "403"])
def test_a_token_that_is_refused_while_waiting_leaves_the_prediction_to_the_next_run(
    store: Store, simulator: ReplicateSimulator, frame: Media, kind: str
) -> None:
    simulator.latency = 0.3
    simulator.fail(kind, on="poll")
    assert outcome(store, simulator, frame).startswith("Permanent")
    assert row_of(store).remote_id
    assert outcome(store, simulator, frame) == "explicit"
    assert simulator.count == 1


def test_a_prediction_that_is_not_known_any_more_is_made_anew(store: Store, simulator: ReplicateSimulator, frame: Media) -> None:
    simulator.latency = 0.3
    simulator.fail("404", on="poll")
    assert outcome(store, simulator, frame) == "explicit"
    assert simulator.count == 2


def test_the_whole_prediction_is_booked_and_files_stand_in_it_by_their_sha256(
    store: Store, simulator: ReplicateSimulator, frame: Media
) -> None:
    simulator.latency = 0.2
    assert outcome(store, simulator, frame) == "explicit"
    row = row_of(store)
    assert row.answer
    assert (row.answer["output"], row.answer["status"], row.remote_id) == ("nsfw", "succeeded", row.answer["id"])
    assert row.answer["input"] == json.loads(row.request["input"])["input"]
    assert list(row.answer["input"]["image"]) == ["sha256"]
    assert (row.provider, row.model, row.purpose) == ("replicate", one_model("nudity").detectors["nudity"].pinned, "nudity")
    assert row.item == "video-1/nudity/0"
    assert (row.images, 150 <= row.compute_ms <= 151) == (1, True), "it ran for three quarters of its time"
    assert row.cost_usd


def test_a_prediction_that_takes_longer_than_the_deadline_of_a_call_is_waited_for_by_the_next_run(
    store: Store, simulator: ReplicateSimulator, frame: Media
) -> None:
    simulator.latency = 2.0
    assert outcome(store, simulator, frame, timeout_s=0.4).startswith("Transient: no answer")
    assert row_of(store).remote_id
    assert outcome(store, simulator, frame) == "explicit"
    assert (simulator.count, simulator.paid_twice) == (1, 0)


def test_its_deadline_is_told_to_the_endpoint_so_that_nothing_runs_on_after_a_crash(
    store: Store, simulator: ReplicateSimulator, frame: Media
) -> None:
    simulator.fail("stuck")
    assert outcome(store, simulator, frame, timeout_s=0.4).startswith("Transient")
    simulator.pass_time(601)
    assert simulator.stats()["by_status"] == {"aborted": 1}
    assert outcome(store, simulator, frame) == "explicit"
    assert (simulator.count, simulator.cancels) == (2, 0)


def test_it_is_cancelled_by_us_where_the_endpoint_does_not_heed_its_deadline(
    store: Store, simulator: ReplicateSimulator, frame: Media
) -> None:
    simulator.heeds_deadlines = False
    simulator.fail("stuck")
    assert outcome(store, simulator, frame, timeout_s=0.4).startswith("Transient")
    simulator.pass_time(601)
    assert outcome(store, simulator, frame) == "explicit"
    assert (simulator.count, simulator.cancels, simulator.paid_twice) == (2, 1, 0)


def test_a_large_file_is_signed_where_there_is_a_store_and_else_uploaded_once(
    store: Store, simulator: ReplicateSimulator, tmp_path: Path
) -> None:
    media = paint(tmp_path / "video", ("magenta",))
    with media.small(media.frames[0]).open("ab") as file:
        file.write(bytes(LONGEST_DATA_URI))
    assert outcome(store, simulator, media) == "explicit"
    assert (simulator.count, len(simulator.files)) == (1, 1)
    url = f"{simulator.base_url}/v1/files/{next(iter(simulator.files))}?X-Amz-Signature=abc"
    with detectors_of(store, simulator.base_url, one_model("nudity"), signed=lambda path: url) as runners:
        assert detect(runners["nudity"], media).replayed == 1, "how a file travels does not make it another question"


def test_a_url_that_has_run_out_is_signed_anew(store: Store, simulator: ReplicateSimulator, tmp_path: Path) -> None:
    media = paint(tmp_path / "video", ("magenta",))
    with media.small(media.frames[0]).open("ab") as file:
        file.write(bytes(LONGEST_DATA_URI))
    urls = iter(["http://127.0.0.1:9/frame.jpg?X-Amz-Signature=old", "https://bucket.example/frame.jpg?X-Amz-Signature=new"])
    with detectors_of(store, simulator.base_url, one_model("nudity"), tries=2, signed=lambda path: next(urls)) as runners:
        detect(runners["nudity"], media)
    assert simulator.count == 2
    assert "Signature" not in json.dumps([row_of(store).answer, row_of(store).error])


def test_models_of_one_account_share_a_lane_that_does_not_tell_the_token() -> None:
    account = ReplicateAccount(token=SecretStr(TOKEN))
    assert account.lane == ReplicateAccount(token=SecretStr(TOKEN), base_url="https://api.replicate.com/v1").lane
    assert account.lane != ReplicateAccount(token=SecretStr("r8_other")).lane
    assert account.lane.startswith("api.replicate.com/")
    assert TOKEN not in account.lane


@pytest.mark.parametrize(
    ("token", "url", "names"), [("a b", "https://x.example", "REPLICATE_API_TOKEN"), ("r8_a", "x", "REPLICATE_BASE_URL")]
)
def test_what_cannot_be_a_token_or_a_url_is_said_at_once(token: str, url: str, names: str) -> None:
    with pytest.raises(BadInput, match=names):
        ReplicateAccount(token=SecretStr(token), base_url=url)


def test_the_proxy_of_the_environment_is_used_and_a_netrc_is_not(
    simulator: ReplicateSimulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine replicate.invalid login me password secret")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", simulator.base_url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    async def look() -> None:
        account = ReplicateAccount(token=SecretStr(TOKEN), base_url="http://replicate.invalid")
        try:
            await account.call("GET", "predictions/1")
        finally:
            await account.close()

    with pytest.raises(Missing):  # the simulator is asked for a URL of another host, which it does not know
        asyncio.run(look())
    monkeypatch.setenv("no_proxy", "replicate.invalid")
    with pytest.raises(Transient, match=r"cannot be reached or broke off \(gaierror\)"):
        asyncio.run(look())


@pytest.mark.parametrize(
    ("header", "body", "seconds"),
    [
        ("12", b"", 12),
        ("", b'{"detail":"... Your rate limit resets in ~30s."}', 30),
        ("", b"Your rate limit resets in ~2m.", 120),
        ("", b"resets in 500ms", 0.5),
        ("", b"resets in 7", 7),
        ("soon", b"Request was throttled.", None),
    ],
)
def test_a_refusal_says_when_to_come_back_in_a_header_or_a_sentence(header: str, body: bytes, seconds: float | None) -> None:
    assert retry_after({"retry-after": header}, body) == seconds


@given(
    header=st.text(st.characters(codec="ascii")),
    body=st.binary() | st.text().map(lambda text: f"resets in ~{text}".encode(errors="replace")),
)
def test_no_refusal_can_make_a_wait_that_is_none(header: str, body: bytes) -> None:
    wait = retry_after({"retry-after": header}, body)
    assert wait is None or 0 <= wait <= 1e10


def look_at(database: str, home: Path, base_url: str, folder: Path, frames: int, item: str = "video-1") -> None:
    """What is killed: a process that has a video looked at."""
    calls.DEAD_FOR_S = 0.05  # no database restarts here: a dead process is dead at once
    media = replace(paint(folder, ("magenta",) * frames), item=item)
    with (
        open_store(Settings(home=home, database_url=SecretStr(database), llm="offline")) as store,
        detectors_of(store, base_url, one_model("nudity")) as runners,
    ):
        found = detect(runners["nudity"], media)
        assert len(found.signals) == frames
        assert found.coverage.fraction == 1


@pytest.mark.long
def test_a_process_that_is_killed_at_any_moment_creates_no_prediction_again_whose_id_was_booked(
    store: Store, settings: Settings, simulator: ReplicateSimulator, tmp_path: Path
) -> None:
    """Videos of ten frames, kill -9 at random moments of their lives. What was being created may be lost, nothing that had an id."""
    simulator.latency = 1.0
    rng, kills, videos = random.Random(4), 0, 0
    assert settings.database_url
    database = settings.database_url.get_secret_value()

    def created() -> Counter[str]:
        return Counter(hashlib.sha256(asked.files[0]).hexdigest() for asked in simulator.requests)

    def safe(item: str) -> set[str]:
        """The frames, by their SHA-256, that have an answer or the id of one."""
        rows = [row for row in rows_of(store) if row.item.startswith(f"{item}/") and (row.remote_id or row.status == "answered")]
        return {json.loads(row.request["input"])["input"]["image"]["sha256"] for row in rows}

    while kills < KILLS:
        videos += 1
        item, known = f"video-{videos}", Counter[str]()
        simulator.reset()
        for _ in range(5):
            process = PROCESSES.Process(target=look_at, args=(database, settings.home, simulator.base_url, tmp_path / item, 10, item))
            process.start()
            process.join(rng.uniform(0.2, 4.0))
            if process.exitcode is not None:
                assert process.exitcode == 0
                break
            process.kill()
            process.join()
            kills += 1
            times = created()
            known |= Counter({sha256: times[sha256] for sha256 in safe(item) if sha256 not in known})
        last = PROCESSES.Process(target=look_at, args=(database, settings.home, simulator.base_url, tmp_path / item, 10, item))
        last.start()
        last.join(60)
        assert last.exitcode == 0
        times = created()
        assert not {sha256: times[sha256] for sha256 in known if times[sha256] > known[sha256]}, "created again although its id was booked"
        assert len(safe(item)) == 10
    print(f"{kills} kills over {videos} videos of 10 frames")


def test_ids_that_are_booked_at_a_kill_are_looked_at_and_none_is_created_again(
    store: Store, settings: Settings, simulator: ReplicateSimulator, tmp_path: Path
) -> None:
    simulator.latency = 1.5
    assert settings.database_url
    arguments = (settings.database_url.get_secret_value(), settings.home, simulator.base_url, tmp_path / "video", 6)
    first = PROCESSES.Process(target=look_at, args=arguments)
    first.start()
    deadline = time.monotonic() + 60
    while sum(bool(row.remote_id) for row in rows_of(store)) < 6:
        assert time.monotonic() < deadline, "the ids were not booked"
        time.sleep(0.01)
    first.kill()
    first.join()
    ids = {row.remote_id for row in rows_of(store)}
    second = PROCESSES.Process(target=look_at, args=arguments)
    second.start()
    second.join(60)
    assert second.exitcode == 0
    assert (simulator.count, simulator.paid_twice) == (6, 0)
    assert {(row.answer or {})["id"] for row in rows_of(store)} == ids


def test_an_endpoint_that_is_not_there_is_named_by_its_setting(store: Store, frame: Media) -> None:
    with (
        detectors_of(store, "http://127.0.0.1:9", one_model("nudity"), tries=1) as runners,
        pytest.raises(Transient, match=r"Replicate at 127\.0\.0\.1:9 cannot be reached .*\(ConnectionRefusedError\); REPLICATE_BASE_URL"),
    ):
        detect(runners["nudity"], frame)
