"""From the object to frames and sound: what is kept, what is refused before it costs anything, and a disk that has no room."""

import multiprocessing
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pressroom.compliance.desk import VideoDesk
from pressroom.compliance.source import AUDIO, FRAMES, open_media, rules_of, take_in, words_of
from pressroom.errors import Permanent
from pressroom.objects.store import FolderStore
from pressroom.records import Upload, Video
from pressroom.settings import Settings
from pressroom.store.engine import Store, open_store
from pressroom.store.videos import add_uploads, coverages_of, video_by_key
from tests.processes import DECODER, PROCESSES, children
from tests.samples import SITE, site_applied
from tests.videos import Clip, Sound, make, moving, noise, sound_only, still

MakeDesk = Callable[..., VideoDesk]
OBJECT = "uploads/2026/11/21/brew/film.mp4"


def film(path: Path, **changes: Any) -> Path:
    return make(path, Clip(**({"paint": moving, "seconds": 2.0, "sound": Sound(noise(2, rate=16_000), rate=16_000)} | changes)))


@pytest.fixture
def desk(store: Store, tmp_path: Path) -> MakeDesk:
    """A run's hold on the video that is made of a file."""

    def made(path: Path, run: str = "run-1") -> VideoDesk:
        objects = FolderStore(tmp_path / "objects")
        target = objects.folder / OBJECT
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
        version = objects.head(OBJECT)
        assert version
        upload = Upload(site="brew", object_key=OBJECT, version=version.id, size=version.size, uploaded_at=version.modified)
        with store.transaction() as session:
            site_applied(session)
            add_uploads(session, SITE, [upload])
        return again(store, objects, upload.key, tmp_path / run)

    return made


def again(store: Store, objects: FolderStore, key: str, folder: Path) -> VideoDesk:
    """The desk of another run."""
    folder.mkdir(exist_ok=True)
    with store.transaction() as session:
        video, site = video_by_key(session, key)
    return VideoDesk(video, site, store, objects, folder.name, folder)


def test_what_is_taken_from_a_video_is_found_again_by_another_run(desk: MakeDesk, store: Store, settings: Settings, tmp_path: Path) -> None:
    first = desk(film(tmp_path / "film.mp4"))
    source = take_in(first, rules_of(settings))
    assert source.taken
    assert (source.video.state, source.video.probe, source.near) == ("processing", source.taken.probe, ())
    assert not (first.folder / "source").exists(), "the bytes of the video are not kept twice"
    assert first.objects.exists(first.video.folder + FRAMES)
    assert first.objects.exists(first.video.folder + AUDIO)

    own, other = (
        open_media(again(store, first.objects, first.video.key, folder))  # type: ignore[arg-type]
        for folder in (first.folder, tmp_path / "run-2")
    )
    assert own.frames == other.frames
    assert own.folder != other.folder
    for frame in own.frames:
        assert own.large(frame).read_bytes() == other.large(frame).read_bytes()
    assert own.audio
    assert other.audio
    assert own.audio.read_bytes() == other.audio.read_bytes()
    assert own.item == f"video/{source.video.sha256}"
    with store.transaction() as session:
        assert [one.detector for one in coverages_of(session, source.video)] == ["picture", "sound"]


def test_a_video_without_sound_keeps_none(desk: MakeDesk, settings: Settings, tmp_path: Path) -> None:
    first = desk(film(tmp_path / "film.mp4", sound=None))
    take_in(first, rules_of(settings))
    media = open_media(again(first.store, first.objects, first.video.key, tmp_path / "run-2"))  # type: ignore[arg-type]
    assert (media.audio, media.audio_error) == (None, "")


def state(store: Store, video: Video) -> tuple[str, str]:
    with store.transaction() as session:
        found, _ = video_by_key(session, video.key)
    return found.state, found.reason or ""


def test_what_is_too_large_is_refused_before_a_byte_is_fetched(desk: MakeDesk, settings: Settings, tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4")
    first = desk(path)
    (tmp_path / "objects" / OBJECT).unlink()
    source = take_in(first, rules_of(settings.model_copy(update={"video_max_gib": 1e-6})))
    assert (source.taken, source.video.state) == (None, "refused")
    assert "over the limit" in (source.video.reason or "")


def test_what_has_nothing_to_see_is_refused_with_the_reason(desk: MakeDesk, settings: Settings, tmp_path: Path) -> None:
    first = desk(sound_only(tmp_path / "film.mp4", Sound(noise(1))))
    source = take_in(first, rules_of(settings))
    assert source.video.state == "refused"
    assert source.video.reason


def test_a_video_of_which_nothing_is_known_is_told(desk: MakeDesk, tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="materialise compliance/source_video first"):
        open_media(desk(film(tmp_path / "film.mp4")))


def test_an_object_that_was_replaced_meanwhile_is_told(desk: MakeDesk, settings: Settings, tmp_path: Path) -> None:
    first = desk(film(tmp_path / "film.mp4"))
    (tmp_path / "objects" / OBJECT).write_bytes(b"another")
    with pytest.raises(Permanent, match=r"film\.mp4"):
        take_in(first, rules_of(settings))
    assert not children(DECODER), "the one that was started meanwhile is gone"


def test_the_decoder_of_a_duplicate_is_gone_unused(desk: MakeDesk, settings: Settings, tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", seconds=0.5, sound=None)
    take_in(desk(path), rules_of(settings))
    path.touch()  # the same bytes, uploaded again
    source = take_in(desk(path, "run-2"), rules_of(settings))
    assert (source.taken, source.video.state) == (None, "duplicate")
    assert not children(DECODER)


def _with_little_room(database_url: str, key: str, objects: Path, folder: Path, most: int, told: "multiprocessing.Queue[str]") -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    settings = Settings(database_url=SecretStr(database_url))
    with open_store(settings) as store:
        try:
            take_in(again(store, FolderStore(objects), key, folder), rules_of(settings))  # type: ignore[arg-type]
            told.put("")
        except Permanent as error:
            told.put(str(error))


@pytest.mark.parametrize("room", ["for nothing", "for the download"])
def test_a_disk_without_room_is_told_in_one_line_and_with_room_again_it_goes_on(
    desk: MakeDesk, store: Store, settings: Settings, database_url: str, tmp_path: Path, room: str
) -> None:
    path = film(tmp_path / "film.mp4", size=(320, 180), paint=still(), seconds=12.0, sound=None)
    first = desk(path)
    most = 4096 if room == "for nothing" else path.stat().st_size + 20_000  # a frame has 9 KB, all of them in one archive 200
    told: multiprocessing.Queue[str] = PROCESSES.Queue()
    arguments = (database_url, first.video.key, tmp_path / "objects", first.folder, most, told)
    process = PROCESSES.Process(target=_with_little_room, args=arguments)
    process.start()
    said = told.get(timeout=60)
    process.join()
    assert "File too large" in said
    assert str(tmp_path) in said
    assert len(said.splitlines()) == 1
    assert state(store, first.video)[0] == "processing", "whose run says it, is for the run to book"
    shutil.rmtree(first.folder)
    assert take_in(again(store, first.objects, first.video.key, first.folder), rules_of(settings)).taken  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        (b'{"title": "Miracle cure", "description": "for all\\u0000"}', ("Miracle cure", "for all")),
        (b'{"title": 3}', (None, None)),
        (b"[" * 100_000, (None, None)),
        (None, (None, None)),
    ],
)
def test_title_and_description_come_from_beside_the_video(
    desk: MakeDesk, tmp_path: Path, beside: bytes | None, words: tuple[Any, Any]
) -> None:
    made = desk(film(tmp_path / "film.mp4", seconds=0.5, sound=None))
    if beside:
        made.objects.write(f"{OBJECT}.json", beside)
    assert words_of(made) == words
    video = take_in(made, rules_of(Settings())).video
    assert (video.title, video.description) == words
