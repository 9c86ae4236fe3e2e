"""A video taken apart in a process of its own, whatever the file or the process does."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from PIL import Image

from pressroom.compliance.sampling import Sampling
from pressroom.compliance.taking import Decoder, take_apart
from pressroom.errors import Refused, Transient
from tests import videos
from tests.processes import DECODER, children
from tests.videos import Clip, Sound, make, moving, plain, scenes, still, tone, with_text

WHOLE = Clip(moving, seconds=6, sound=Sound(tone(6)), container_options=(("movflags", "faststart"),))


def test_a_video_becomes_frames_sound_and_coverage(tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    rules = Sampling(large_px=120, small_px=80, thumb_px=40)
    taken = take_apart(make(tmp_path / "a.mp4", WHOLE), tmp_path / "out", rules, lambda *items: done.append(items))
    assert taken.complete
    assert [frame.at_ms for frame in taken.frames] == [0, 1000, 2000, 3000, 4000, 5000]
    assert [frame.number for frame in taken.frames] == list(range(6))
    assert taken.largest_gap_ms == 1000
    assert done == [(number, 6) for number in range(1, 7)]
    for folder, size in {"large": (120, 68), "small": (80, 45), "thumb": (40, 22)}.items():
        for frame in taken.frames:
            with Image.open(tmp_path / "out" / folder / frame.key) as image:
                assert image.size == size
    assert taken.audio == tmp_path / "out" / "audio.wav"
    assert len(taken.loudness) == 6
    assert (taken.picture.seconds, taken.picture.of_s, taken.picture.reason) == (6.0, 6.0, "")
    assert (taken.sound.seconds, taken.sound.of_s) == (6.0, 6.0)
    assert set(taken.seconds) == {"start", "index", "sound", "pictures"}
    assert not children(DECODER)


def test_black_frozen_and_flashing_stretches_are_found_in_real_pictures(tmp_path: Path) -> None:
    paint = scenes((3, moving), (3, plain(0)), (3, moving), (4, still()), (2, moving), (1, plain(255)), (2, plain(20)), (2, moving))
    taken = take_apart(make(tmp_path / "a.mp4", Clip(paint, seconds=20)), tmp_path / "out", Sampling())
    found = {(one.label, one.start_ms, one.end_ms) for one in taken.signals}
    assert {("black", 3000, 6000), ("frozen", 9000, 12_100), ("flash", 15_000, 16_000)} <= found
    assert taken.picture.stood_for == sum(frame.same_as is not None for frame in taken.frames) > 0


def test_a_single_group_of_600_pictures_keeps_the_gap_promise(tmp_path: Path) -> None:
    options = (("bf", "3"), ("preset", "veryfast"))
    taken = take_apart(make(tmp_path / "a.mp4", Clip(moving, seconds=24, fps=25, gop=600, options=options)), tmp_path / "out", Sampling())
    assert taken.probe.keyframes == 1
    assert taken.largest_gap_ms <= 2000
    assert taken.picture.fraction == 1
    assert len(taken.frames) == 12


def test_a_turned_video_is_written_as_it_is_shown(tmp_path: Path) -> None:
    """The mark is in the upper left corner of the coded picture; shown 90 degrees clockwise it is in the upper right."""

    def marked(at: float, width: int, height: int) -> videos.Picture:
        picture = plain(40)(at, width, height)
        picture[: height // 3, : width // 3] = 240
        return picture

    path = videos.turned(tmp_path / "b.mp4", make(tmp_path / "a.mp4", Clip(marked, seconds=1)), 90)
    taken = take_apart(path, tmp_path / "out", Sampling())
    with Image.open(tmp_path / "out" / "large" / taken.frames[0].key) as image:
        assert image.size == (90, 160)
        grey = image.convert("L")
        assert grey.getpixel((80, 10)) > 200
        assert grey.getpixel((10, 10)) < 80
        assert grey.getpixel((80, 150)) < 80


def test_burnt_in_text_is_sharp_in_the_large_frame(tmp_path: Path) -> None:
    paint = with_text("SALE", plain(120), start_s=2, end_s=4, px=30)
    taken = take_apart(make(tmp_path / "a.mp4", Clip(paint)), tmp_path / "out", Sampling())
    assert [frame.sharpness > 100 for frame in taken.frames] == [False, False, True, True]


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("a.webm", Clip(moving, codec="libvpx-vp9", seconds=2)),
        ("a.avi", Clip(moving, codec="mpeg4", seconds=2)),
        ("hdr.mp4", Clip(moving, codec="libx265", pixels="yuv420p10le", seconds=2)),
        ("av1.mkv", Clip(moving, codec="libsvtav1", seconds=2)),
        ("start.mkv", Clip(moving, start_s=5, seconds=2)),
        ("one odd 'frame' \" ü 影.mp4", Clip(moving, seconds=0.1, size=(161, 91), pixels="yuv444p")),
        ("v" * 200 + ".mp4", Clip(moving, times=[0, 0.1, 1.5, 1.6, 2.5])),
    ],
)
def test_every_codec_and_clock_and_name_is_taken_apart_whole(tmp_path: Path, name: str, clip: Clip) -> None:
    taken = take_apart(make(tmp_path / name, clip), tmp_path / "out", Sampling())
    assert taken.complete
    assert taken.frames[0].at_ms == 0
    assert taken.picture.fraction == 1
    assert (taken.audio, taken.sound.state, taken.sound.reason) == (None, "skipped", "The video has no sound.")


def test_pictures_that_change_their_size_half_way_are_all_taken(tmp_path: Path) -> None:
    path = videos.two_sizes(tmp_path / "a.avi", Clip(moving, seconds=2), Clip(moving, seconds=2, size=(200, 100)))
    taken = take_apart(path, tmp_path / "out", Sampling())
    assert taken.picture.fraction == 1
    sizes = []
    for frame in taken.frames:
        with Image.open(tmp_path / "out" / "large" / frame.key) as image:
            sizes.append(image.size)
    assert sizes == [(160, 90)] * 4 + [(200, 100)] * 4


@pytest.mark.parametrize(
    ("spoil", "name"),
    [(videos.truncated, "a.mp4"), (videos.truncated, "a.mkv"), (videos.corrupt, "a.mp4"), (videos.corrupt, "a.mkv")],
)
def test_a_file_that_stops_decoding_gives_what_it_gave(tmp_path: Path, spoil: Callable[[Path, Path], Path], name: str) -> None:
    taken = take_apart(spoil(tmp_path / f"bad-{name}", make(tmp_path / name, WHOLE)), tmp_path / "out", Sampling())
    assert 2 <= len(taken.frames) <= 4
    assert 0.3 <= taken.picture.fraction <= 0.9
    assert taken.picture.reason
    assert 0.3 <= taken.sound.fraction <= 0.9
    assert taken.sound.reason
    assert taken.audio == tmp_path / "out" / "audio.wav"


def test_a_refusal_comes_out_of_the_process_as_it_was_said(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(Refused, match=r"^The file is empty\.$"):
        take_apart(tmp_path / "a.mp4", tmp_path / "out", Sampling())


def test_a_decoder_that_hangs_is_ended_at_the_deadline_and_gives_what_it_gave(tmp_path: Path) -> None:
    def freeze(done: int, _: int) -> None:
        if done == 2:
            children(DECODER)[0].suspend()

    # Every picture is looked at, so that the process is still at it when the second look arrives.
    rules = Sampling(deadline_s=4, max_gap_s=0.01, min_gap_s=0)
    path = make(tmp_path / "a.mp4", Clip(moving, seconds=100, size=(320, 180), sound=Sound(tone(3))))
    taken = take_apart(path, tmp_path / "out", rules, freeze)
    assert not taken.complete
    assert 2 <= len(taken.frames) < 1000
    assert taken.picture.reason == "Decoding was ended at its deadline of 4 s."
    assert 0 < taken.picture.fraction < 1
    assert taken.sound.seconds == pytest.approx(3, abs=0.1)
    assert all((tmp_path / "out" / "large" / frame.key).stat().st_size for frame in taken.frames)
    assert not children(DECODER)


@pytest.mark.parametrize(("number", "said"), [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGKILL, "SIGKILL")])
def test_a_decoder_that_dies_gives_what_it_gave(tmp_path: Path, number: signal.Signals, said: str) -> None:
    def hit(done: int, _: int) -> None:
        if done == 2:
            children(DECODER)[0].send_signal(number)

    path = make(tmp_path / "a.mp4", Clip(moving, seconds=100, size=(320, 180)))
    taken = take_apart(path, tmp_path / "out", Sampling(max_gap_s=0.01, min_gap_s=0), hit)
    assert not taken.complete
    assert taken.picture.reason == f"The decoder crashed on it ({said})."
    assert 2 <= len(taken.frames) < 1000


def test_a_decoder_that_is_told_to_stop_is_no_fault_of_the_file(tmp_path: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done == 1:
            children(DECODER)[0].terminate()

    path = make(tmp_path / "a.mp4", Clip(moving, seconds=100, size=(320, 180)))
    with pytest.raises(Transient, match="told to stop"):
        take_apart(path, tmp_path / "out", Sampling(max_gap_s=0.01, min_gap_s=0), stop)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to its address space")
def test_a_picture_that_needs_too_much_memory_is_refused_by_the_limit(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Clip(plain(90), seconds=0.2, size=(7680, 4320)))
    with pytest.raises(Refused, match="320 MiB of memory"):
        take_apart(path, tmp_path / "out", Sampling(memory_mib=320))


def test_a_deadline_before_anything_is_known_is_a_refusal_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"^The video could not be read\. Decoding was ended at its deadline of 0\.01 s\.$"):
        take_apart(make(tmp_path / "a.mp4", WHOLE), tmp_path / "out", Sampling(deadline_s=0.01))


def test_no_key_of_ours_is_in_the_process_that_decodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    seen: list[dict[str, str]] = []
    path = make(tmp_path / "a.mp4", Clip(moving, seconds=100, size=(320, 180)))
    rules = Sampling(max_gap_s=0.5)
    take_apart(path, tmp_path / "out", rules, lambda done, _: seen.append(children(DECODER)[0].environ()) if done == 1 else None)
    assert seen
    assert not any("secret" in value for value in seen[0].values())


@pytest.mark.long
def test_a_decoder_waits_for_its_video_and_its_deadline_counts_from_then(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Clip(moving, seconds=1))
    with Decoder(Sampling(deadline_s=10)) as decoder:
        time.sleep(10.5)
        assert decoder.take_apart(path, tmp_path / "out").complete
    assert not children(DECODER)


def test_a_decoder_whose_video_never_comes_is_gone_with_its_block() -> None:
    with Decoder(Sampling()):
        assert children(DECODER)
    assert not children(DECODER)


def test_a_decoder_that_died_before_it_saw_its_video_says_nothing_against_that(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Clip(moving, seconds=1))
    with Decoder(Sampling()) as decoder:
        children(DECODER)[0].kill()
        with pytest.raises(Transient, match=r"before it had seen it \(SIGKILL\)"):
            decoder.take_apart(path, tmp_path / "out")


@pytest.mark.long
def test_the_process_leaves_when_the_one_that_started_it_is_killed(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Clip(moving, seconds=200, size=(640, 360)))
    code = (
        "import sys; from pathlib import Path; from pressroom.compliance.taking import take_apart;"
        "from pressroom.compliance.sampling import Sampling;"
        "take_apart(Path(sys.argv[1]), Path(sys.argv[2]), Sampling(max_gap_s=0.01, min_gap_s=0), lambda *_: print('look', flush=True))"
    )
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"look\n"
        (child,) = psutil.Process(parent.pid).children()
        parent.kill()
    for _ in range(100):
        if not child.is_running():
            return
        time.sleep(0.1)
    child.kill()
    pytest.fail("the decoder outlived its parent by 10 s")
