"""Retention: what goes when a video's time is over, what stays for good, and that the log names all that went."""

import datetime as dt
import os
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.dialects.postgresql import insert

from pressroom.compliance.retention import Rules, Sweep, cdn_of, partitions_to_retire, retention_rules, sweep, temporary_files
from pressroom.errors import BadInput, Transient
from pressroom.objects.cdn import Cdn
from pressroom.objects.s3 import S3Store
from pressroom.objects.store import Deletion, FolderStore, ObjectStore
from pressroom.review.tasks import Person, claim_one
from pressroom.review.verdicts import appeal, decide
from pressroom.settings import load_settings
from pressroom.store.engine import Store, open_store
from pressroom.store.locks import hold_video
from pressroom.store.retention import retired_among
from pressroom.store.review import read_log
from pressroom.store.tables import DetectionRow, LabelRow, ModelCallRow, SignalRow, TaskRow, TriggerRow, VerdictRow, VideoRow
from pressroom.store.videos import begin_video, end_video, video_by_key
from simulators.loopback import HttpReply, HttpRequest, LoopbackServer
from tests.objects.conftest import bucket, folder, remote, s3, s3_port
from tests.processes import PROCESSES
from tests.review.desk import ACCOUNT, ANA, BEN, a_trigger, task_opened
from tests.samples import SITE

__all__ = ["bucket", "folder", "remote", "s3", "s3_port"]

SHA = "ab" * 32
RAW = ("raw/frames.zip", "raw/audio.wav", "signals/transcript.json", "vtt/transcript.vtt")
KEPT = ("report/report.html", "report/frames/0001.jpg", "report/decision.json")
RULES = Rules()


@pytest.fixture(params=["folder", "remote"])
def objects(request: pytest.FixtureRequest) -> ObjectStore:
    found: ObjectStore = request.getfixturevalue(request.param)
    return found


def ended(store: Store, objects: ObjectStore, name: str = "one", *, state: str = "completed", days: float = 8, decided: bool = True) -> str:
    """The key of a video that came to its state so many days ago, with its files, rows and a person's verdict."""
    task = task_opened(store, name, triggers=[a_trigger()])
    source = f"uploads/2026/11/21/brew/{name}.mp4"
    objects.write(source, b"video" * 100)
    version = objects.head(source)
    assert version
    with store.transaction() as session:
        if decided:
            claim_one(session, task.id, ANA)
            session.execute(insert(LabelRow).values(_label(task.id)))
            decide(session, task.id, ANA, "approved", "fine", second_reviews=0)
        row = session.get_one(VideoRow, task.video_id)
        row.object_key, row.object_version, row.sha256, row.state, row.probe = source, version.id, SHA, state, None
        row.ended_at = dt.datetime.now(dt.UTC) - dt.timedelta(days=days)
        owned = {"video_id": row.id, "account_id": ACCOUNT, "site_id": SITE.id, "version": "1"}
        session.execute(insert(ModelCallRow).values(_call(f"call-{name}", f"video/{SHA}/transcript/a")))
        session.execute(
            insert(DetectionRow).values(
                owned | {"detector": "transcript", "coverage": {}, "raw_key": "signals/transcript.json", "vtt_key": "vtt/transcript.vtt"}
            )
        )
        signal = {"detector": "transcript", "number": 1, "start_ms": 0, "end_ms": 900, "label": "speech", "text": "so it goes"}
        session.execute(insert(SignalRow).values(owned | signal | {"call": f"call-{name}"}))
        key = row.key
    for file in (*RAW, *KEPT):
        objects.write(f"sites/brew/videos/{key}/{file}", file.encode())
    return key


def _label(task_id: uuid.UUID) -> dict[str, Any]:
    owned = {"id": uuid.uuid4(), "account_id": ACCOUNT, "site_id": SITE.id, "task_id": task_id}
    return owned | {"trigger": 1, "kind": "confirm", "code": "VIO.WEAPON", "start_ms": 1000, "end_ms": 3000, "author": "ana"}


def _call(name: str, item: str) -> dict[str, Any]:
    made = {"request_hash": name, "account_id": ACCOUNT, "site_id": SITE.id, "purpose": "transcript", "item": item, "generation": ""}
    made |= {"prompt_id": "p", "prompt_version": "1", "provider": "replicate", "model": "m", "request": {}, "status": "answered"}
    return made | {"answer": {"text": "so it goes"}, "cost_usd": Decimal("0.25"), "compute_ms": 1200}


def swept(store: Store, objects: ObjectStore, tmp_path: Path, **more: Any) -> Sweep:
    given: dict[str, Any] = {"home": tmp_path / "home", "folder": None} | more
    return sweep(store, objects, more.pop("rules", RULES), **{name: value for name, value in given.items() if name != "rules"})


def files(objects: ObjectStore, key: str) -> set[str]:
    folder = f"sites/brew/videos/{key}/"
    return {version.key.removeprefix(folder) for version in objects.versions(folder)}


def logged(store: Store, what: str) -> Counter[tuple[str, str]]:
    """How often the log names each (key, version) under `what`."""
    with store.transaction() as session:
        entries = [entry for entry in read_log(session, ACCOUNT) if entry.what == what]
    return Counter((each["key"], each["version"]) for entry in entries for each in (entry.after or {})["versions"])


def the(store: Store, key: str) -> VideoRow:
    with store.transaction() as session:
        return session.execute(sa.select(VideoRow).where(VideoRow.key == key)).scalar_one()


def test_a_week_after_the_verdict_frames_and_sound_go_in_every_version_and_the_report_stays(
    store: Store, objects: ObjectStore, tmp_path: Path
) -> None:
    key = ended(store, objects)
    again = f"sites/brew/videos/{key}/raw/frames.zip"
    objects.write(again, b"of a second run")
    planned = {(version.key, version.id) for name in ("raw/", "signals/", "vtt/") for version in objects.versions(f"{again[:-14]}{name}")}
    done = swept(store, objects, tmp_path)
    assert files(objects, key) == set(KEPT)
    assert (done.videos, done.objects, done.held, done.failed) == (1, len(planned), (), {})
    assert set(logged(store, "artefacts deleted")) == set(logged(store, "artefacts to be deleted")) == planned
    with store.transaction() as session:
        facts = next(entry for entry in read_log(session, ACCOUNT) if entry.what == "artefacts deleted")
    assert facts.who == "retention"
    assert (facts.entity, facts.entity_id) == ("video", key)
    assert facts.after
    assert facts.after["bytes"] == done.bytes > 0
    assert objects.exists("uploads/2026/11/21/brew/one.mp4"), "the source has a time of its own"
    assert the(store, key).cleaned_at
    assert swept(store, objects, tmp_path).videos == 0, "once is enough"


def test_a_dry_run_counts_what_the_sweep_deletes_and_touches_nothing(store: Store, folder: FolderStore, tmp_path: Path) -> None:
    key = ended(store, folder)
    dry = swept(store, folder, tmp_path, dry_run=True)
    assert files(folder, key) == {*RAW, *KEPT}
    assert logged(store, "artefacts to be deleted") == Counter()
    assert the(store, key).cleaned_at is None
    wet = swept(store, folder, tmp_path)
    assert (dry.videos, dry.objects, dry.bytes) == (wet.videos, wet.objects, wet.bytes)
    assert dry.told().startswith(f"{len(RAW)} object versions (")
    assert "would go" in dry.told()
    assert "went" in wet.told()


@pytest.mark.parametrize(
    ("state", "days", "goes"),
    [
        *(("completed", 6.9, False), ("completed", 7.1, True), ("failed", 13.9, False), ("failed", 14.1, True)),
        *(("refused", 7.1, True), ("verification", 300, False), ("blocked", 300, False)),
    ],
)
def test_each_state_has_its_time(store: Store, folder: FolderStore, tmp_path: Path, state: str, days: float, goes: bool) -> None:
    key = ended(store, folder, state=state, days=days)
    swept(store, folder, tmp_path)
    assert (files(folder, key) == set(KEPT)) is goes


def test_after_ninety_days_source_words_and_answers_go_and_peoples_rows_stay(store: Store, objects: ObjectStore, tmp_path: Path) -> None:
    key = ended(store, objects, days=91)
    source = "uploads/2026/11/21/brew/one.mp4"
    with store.transaction() as session:
        session.execute(insert(ModelCallRow).values(_call("other", "video/" + "cd" * 32)))
        before = [session.scalar(sa.select(sa.func.count()).select_from(row)) for row in (TaskRow, LabelRow, VerdictRow, TriggerRow)]
    done = swept(store, objects, tmp_path)
    assert not objects.exists(source)
    assert (done.answers, done.words) == (1, 1)
    with store.transaction() as session:
        call = session.get_one(ModelCallRow, "call-one")
        assert (call.status, call.answer, call.cost_usd, call.compute_ms) == ("answered", None, Decimal("0.25"), 1200)
        assert session.get_one(ModelCallRow, "other").answer, "another video's answer stays"
        signal = session.execute(sa.select(SignalRow)).scalar_one()
        assert (signal.start_ms, signal.end_ms, signal.label, signal.text) == (0, 900, "speech", None)
        detection = session.execute(sa.select(DetectionRow)).scalar_one()
        assert (detection.raw_key, detection.vtt_key) == (None, None), "a row names no file that is gone"
        assert before == [
            session.scalar(sa.select(sa.func.count()).select_from(row)) for row in (TaskRow, LabelRow, VerdictRow, TriggerRow)
        ]
        assert retired_among(session, [key, "unknown"]) == [key]
    assert [name for name, _ in logged(store, "source deleted")] == [source]
    assert files(objects, key) == set(KEPT)


def test_only_the_version_that_was_screened_goes(store: Store, remote: S3Store, tmp_path: Path) -> None:
    """Another upload under the same key is another video, with a time of its own."""
    ended(store, remote, days=91)
    remote.write("uploads/2026/11/21/brew/one.mp4", b"a newer one")
    swept(store, remote, tmp_path)
    assert remote.read("uploads/2026/11/21/brew/one.mp4") == b"a newer one"
    assert len(list(remote.versions("uploads/"))) == 1


def test_answers_about_the_same_bytes_wait_for_the_last_video_that_has_them(store: Store, folder: FolderStore, tmp_path: Path) -> None:
    ended(store, folder, "one", days=91)
    second = ended(store, folder, "two", days=10)
    assert swept(store, folder, tmp_path).answers == 0
    with store.transaction() as session:
        then = dt.datetime.now(dt.UTC) - dt.timedelta(days=91)
        session.execute(sa.update(VideoRow).where(VideoRow.key == second).values(ended_at=then))
    assert swept(store, folder, tmp_path).answers == 2


class Held(FolderStore):
    """A store in which a lock keeps some objects."""

    held: frozenset[str] = frozenset({"signals/transcript.json", "one.mp4"})
    asked = 0

    def delete(self, key: str, version: str) -> Deletion:
        self.asked += 1
        return "held" if key.endswith(tuple(self.held)) else super().delete(key, version)


def test_a_held_object_is_told_and_logged_and_not_asked_for_again_until_somebody_says_so(store: Store, tmp_path: Path) -> None:
    objects = Held(tmp_path / "objects")
    key = ended(store, objects, days=91)
    done = swept(store, objects, tmp_path)
    assert len(done.held) == 2
    assert "2 held by the bucket" in done.told()
    assert files(objects, key) == {*KEPT, "signals/transcript.json"}
    assert [name.rpartition("/")[2] for name, _ in logged(store, "artefacts held")] == ["transcript.json"]
    asked = objects.asked
    assert swept(store, objects, tmp_path).held == ()
    assert objects.asked == asked
    objects.held = frozenset()
    assert swept(store, objects, tmp_path, held=True).objects == 2
    assert files(objects, key) == set(KEPT)
    assert swept(store, objects, tmp_path, held=True).objects == 0


def test_an_object_under_legal_hold_is_held(store: Store, s3: Any, s3_port: int, tmp_path: Path) -> None:
    from tests.objects.conftest import place

    name = f"b-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    objects = S3Store(place(name, s3_port), attempts=2, timeout_s=10)
    key = ended(store, objects)
    s3.put_object_legal_hold(Bucket=name, Key=f"desk/sites/brew/videos/{key}/raw/audio.wav", LegalHold={"Status": "ON"})
    done = swept(store, objects, tmp_path)
    assert [held.split(" ")[0] for held in done.held] == [f"sites/brew/videos/{key}/raw/audio.wav"]
    assert files(objects, key) == {*KEPT, "raw/audio.wav"}


def test_nothing_goes_while_a_person_still_has_to_look(store: Store, folder: FolderStore, tmp_path: Path) -> None:
    key = ended(store, folder, days=91)
    with store.transaction() as session:
        task = session.execute(sa.select(TaskRow)).scalar_one()
        opened = appeal(session, task.id, BEN, "it was a toy")
    done = swept(store, folder, tmp_path)
    assert done.kept == {key: "in review"}
    assert files(folder, key) == {*RAW, *KEPT}
    with store.transaction() as session:
        cleo = Person("cleo")
        claim_one(session, opened.id, cleo)
        session.execute(insert(LabelRow).values(_label(opened.id) | {"author": "cleo"}))
        decide(session, opened.id, cleo, "rejected", "no toy", second_reviews=0)
    assert swept(store, folder, tmp_path).videos == 1


def test_nothing_goes_while_a_run_works_on_the_video(store: Store, folder: FolderStore, tmp_path: Path) -> None:
    key = ended(store, folder)
    with hold_video(store, the(store, key).id, key, wait_s=0, on_wait=print):
        assert swept(store, folder, tmp_path).kept == {key: "a run works on it"}
    assert files(folder, key) == {*RAW, *KEPT}
    assert swept(store, folder, tmp_path).videos == 1


def test_a_video_that_is_run_again_has_its_time_again(store: Store, folder: FolderStore, tmp_path: Path) -> None:
    key = ended(store, folder)
    swept(store, folder, tmp_path)
    with store.transaction() as session:
        begin_video(session, video_by_key(session, key)[0], "run-2")
    folder.write(f"sites/brew/videos/{key}/raw/frames.zip", b"again")
    with store.transaction() as session:
        end_video(session, video_by_key(session, key)[0], "completed")
    assert swept(store, folder, tmp_path).videos == 0
    with store.transaction() as session:
        row = session.execute(sa.select(VideoRow)).scalar_one()
        span = dt.timedelta(days=8)
        row.ended_at, row.cleaned_at = dt.datetime.now(dt.UTC) - span, dt.datetime.now(dt.UTC) - 2 * span
    assert swept(store, folder, tmp_path).objects == 1


class Dying(FolderStore):
    """A store whose process ends at its third deletion."""

    left = 3

    def delete(self, key: str, version: str) -> Deletion:
        self.left -= 1
        if not self.left:
            self.die()
        return super().delete(key, version)

    def die(self) -> None:
        raise KeyboardInterrupt


class Killed(Dying):
    def die(self) -> None:
        os.kill(os.getpid(), 9)


def _sweep_and_die(environment: dict[str, str], root: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with open_store(load_settings()) as store:
        sweep(store, Killed(Path(root)), RULES, home=Path(root) / "home", folder=None)


def finished_after(store: Store, folder: FolderStore, tmp_path: Path, death: Callable[[], None]) -> None:
    """The next sweep after one that ended at its third deletion finds the rest, and the log names all that went in either."""
    keys = [ended(store, folder, name) for name in ("one", "two")]
    every = {(version.key, version.id) for key in keys for version in folder.versions(f"sites/brew/videos/{key}/")}
    death()
    left = Counter(file for key in keys for file in files(folder, key))
    assert sum(left.values()) == 2 * len(KEPT) + 2 * len(RAW) - 2
    done = swept(store, folder, tmp_path)
    assert done.kept == {}, "the dead sweep's hold on the video went with it"
    assert [files(folder, key) for key in keys] == [set(KEPT)] * 2
    should_go = {(key, version) for key, version in every if "/report/" not in key}
    assert set(logged(store, "artefacts to be deleted")) == should_go
    assert set(logged(store, "artefacts deleted")) < should_go


def test_a_sweep_that_ends_half_way_is_finished_by_the_next_and_the_log_names_all(
    store: Store, folder: FolderStore, tmp_path: Path
) -> None:
    def death() -> None:
        with pytest.raises(KeyboardInterrupt):
            swept(store, Dying(folder.folder), tmp_path)

    finished_after(store, folder, tmp_path, death)


@pytest.mark.long
def test_a_sweep_that_is_killed_half_way_is_finished_by_the_next_and_the_log_names_all(
    store: Store, folder: FolderStore, environment: dict[str, str], tmp_path: Path
) -> None:
    def death() -> None:
        process = PROCESSES.Process(target=_sweep_and_die, args=(environment, str(folder.folder)))
        process.start()
        process.join(60)
        assert process.exitcode == -9

    finished_after(store, folder, tmp_path, death)


class Refusing(FolderStore):
    """A store that is away, or whose key may not delete."""

    error: Exception = Transient("the bucket does not answer")

    def delete(self, key: str, version: str) -> Deletion:
        if "--one/" in key:
            raise self.error
        return super().delete(key, version)


def test_an_outage_of_the_bucket_ends_the_sweep_and_one_bad_video_does_not(store: Store, tmp_path: Path) -> None:
    objects = Refusing(tmp_path / "objects")
    one, two = (ended(store, objects, name) for name in ("one", "two"))
    with pytest.raises(Transient):
        swept(store, objects, tmp_path)
    objects.error = BadInput("the bucket's key may not delete")
    done = swept(store, objects, tmp_path)
    assert done.failed == {one: "the bucket's key may not delete"}
    assert files(objects, two) == set(KEPT)
    assert the(store, one).cleaned_at is None


def test_what_dead_runs_left_goes_after_a_day(tmp_path: Path) -> None:
    home, objects, now = tmp_path / "home", tmp_path / "objects", dt.datetime.now(dt.UTC)
    old = (now - dt.timedelta(hours=25)).timestamp()
    made = {
        home / "work" / "key.abc" / "source": True,
        home / "work" / "key.new" / "media" / "a.jpg": False,
        objects / "uploads" / ".tmp1a2b_c3d": True,
        objects / "uploads" / ".tmp1a2b_c3e": False,
        objects / "uploads" / ".tmp-of-somebody": True,
        objects / "uploads" / "film.mp4": True,
        home / "outbox" / ".tmpzzzzzzzz": True,
        home / "outbox" / "a.eml": True,
    }
    for path, is_old in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1234")
        for each in (path, path.parent) if is_old else ():
            os.utime(each, (old, old))
    os.utime(home / "work" / "key.new", (old, old))
    found = dict(temporary_files(home, objects, older_than=RULES.temporary, now=now))
    gone = [home / "work" / "key.abc", objects / "uploads" / ".tmp1a2b_c3d", home / "outbox" / ".tmpzzzzzzzz"]
    assert found == dict.fromkeys(gone, 4)


def test_a_sweep_removes_temporary_files_and_a_dry_one_counts_them(store: Store, folder: FolderStore, tmp_path: Path) -> None:
    left = tmp_path / "home" / "work" / "key.abc"
    left.mkdir(parents=True)
    (left / "source").write_bytes(b"1234")
    for path in (left / "source", left):
        os.utime(path, (0, 0))
    dry = swept(store, folder, tmp_path, dry_run=True)
    assert (dry.temporary_files, dry.temporary_bytes) == (1, 4)
    assert left.exists()
    assert swept(store, folder, tmp_path).temporary_files == 1
    assert not left.exists()


def test_a_partition_goes_only_when_retention_is_done_and_no_run_is_in_flight() -> None:
    assert partitions_to_retire(["a", "b", "c"], retired={"a", "b", "z"}, in_flight={"b"}) == ["a"]


class Cloudflare(LoopbackServer):
    """Cloudflare's purge call, on loopback."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, list[str]]] = []
        self.reply = HttpReply.json({"success": True, "errors": [], "result": {"id": "1"}})

    async def answer(self, request: HttpRequest) -> HttpReply:
        import json

        assert request.method == "POST"
        assert request.headers["authorization"] == "Bearer a-token"
        self.asked.append((request.path, json.loads(request.body)["files"]))
        return self.reply


def test_the_cdn_forgets_what_was_deleted_again_after_an_outage(store: Store, folder: FolderStore, tmp_path: Path) -> None:
    key = ended(store, folder)
    with Cloudflare() as api:
        cdn = Cdn("https://media.example/", "zone1", SecretStr("a-token"), api=f"http://127.0.0.1:{api.port}/client/v4")
        api.reply = HttpReply.json({"success": False, "errors": [{"message": "slow down"}]}, status=429)
        done = swept(store, folder, tmp_path, cdn=cdn)
        assert done.purges == 0
        assert "slow down" in done.failed["CDN"]
        assert files(folder, key) == set(KEPT)
        with store.transaction() as session:
            session.execute(sa.text("UPDATE outbox SET not_before = now() - interval '1 s' WHERE kind = 'purge'"))
        api.reply = HttpReply.json({"success": True})
        assert swept(store, folder, tmp_path, cdn=cdn).purges == 1
        assert swept(store, folder, tmp_path, cdn=cdn).purges == 0
    path, urls = api.asked[-1]
    assert path == "/client/v4/zones/zone1/purge_cache"
    assert sorted(urls) == sorted(f"https://media.example/sites/brew/videos/{key}/{name}" for name in RAW)


def test_the_cdn_is_told_thirty_urls_at_a_time_and_a_refusal_names_the_setting() -> None:
    with Cloudflare() as api:
        cdn = Cdn("https://media.example", "zone1", SecretStr("a-token"), api=f"http://127.0.0.1:{api.port}")
        cdn.purge([f"a b/{number}" for number in range(61)])
        assert [len(urls) for _, urls in api.asked] == [30, 30, 1]
        assert api.asked[0][1][0] == "https://media.example/a%20b/0"
        api.reply = HttpReply.json({"success": False, "errors": [{"code": 10000, "message": "Authentication error"}]}, status=403)
        with pytest.raises(BadInput, match=r"PRESSROOM_CLOUDFLARE_API_TOKEN.*Authentication error") as said:
            cdn.purge(["a"])
        assert "a-token" not in str(said.value)
        api.reply = HttpReply(502, b"<html>")
        with pytest.raises(Transient):
            cdn.purge(["a"])
    with pytest.raises(Transient, match="does not answer"):
        cdn.purge(["a"])


@dataclass(frozen=True)
class Given:
    """The settings that retention needs."""

    keep_artefacts_days: float = 7
    keep_failed_days: float = 14
    keep_sources_days: float = 90
    keep_temporary_hours: float = 24
    cdn_url: str | None = None
    cloudflare_zone: str | None = None
    cloudflare_api_token: SecretStr | None = None


def test_the_settings_make_the_rules_and_half_a_cdn_is_none() -> None:
    assert retention_rules(Given()) == RULES
    assert cdn_of(Given()) is None
    with pytest.raises(BadInput, match="set all three, or none"):
        cdn_of(Given(cdn_url="https://media.example"))
    whole = replace(Given(cdn_url="https://media.example", cloudflare_zone="z"), cloudflare_api_token=SecretStr("a-token"))
    assert cdn_of(whole) == Cdn("https://media.example", "z", SecretStr("a-token"))
