"""Files as they come: each is read for what it is, or refused in one sentence."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pressroom.compliance.probe import read_index
from pressroom.compliance.sampling import Sampling
from pressroom.errors import Refused
from pressroom.records import Probe
from tests import videos
from tests.videos import Clip, Sound, make, moving, tone


def probe(path: Path, **rules: object) -> Probe:
    return read_index(path, Sampling.model_validate(rules)).probe


def refusal(path: Path, **rules: object) -> str:
    with pytest.raises(Refused) as refused:
        probe(path, **rules)
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "clip", "container", "codec", "pixels"),
    [
        ("a.mp4", Clip(moving), "mp4", "h264", "yuv420p"),
        ("a.mov", Clip(moving), "mov", "h264", "yuv420p"),
        ("a.mkv", Clip(moving), "mkv", "h264", "yuv420p"),
        ("a.webm", Clip(moving, codec="libvpx-vp9"), "webm", "vp9", "yuv420p"),
        ("a.avi", Clip(moving, codec="mpeg4"), "avi", "mpeg4", "yuv420p"),
        ("hevc.mp4", Clip(moving, codec="libx265"), "mp4", "hevc", "yuv420p"),
        ("hdr.mp4", Clip(moving, codec="libx265", pixels="yuv420p10le"), "mp4", "hevc", "yuv420p10le"),
        ("av1.mp4", Clip(moving, codec="libsvtav1"), "mp4", "av1", "yuv420p"),
    ],
)
def test_a_video_is_told_by_its_content(tmp_path: Path, name: str, clip: Clip, container: str, codec: str, pixels: str) -> None:
    found = probe(make(tmp_path / name, clip).rename(tmp_path / "upload.bin"))
    assert (found.container, found.video_codec, found.pixel_format) == (container, codec, pixels)
    assert (found.duration_ms, found.video_packets, found.keyframes, found.largest_keyframe_gap_ms) == (4000, 40, 4, 1000)
    assert (found.width, found.height, found.rotation, found.fps) == (160, 90, 0, 10.0)
    assert found.audio_codec is None


def test_the_length_of_a_streamed_webm_is_counted_from_its_packets(tmp_path: Path) -> None:
    live = make(tmp_path / "a.webm", Clip(moving, codec="libvpx-vp9", container_options=(("live", "1"),)))
    index = read_index(live, Sampling())
    assert index.claimed_ms <= 0, "this file's header was meant to say nothing of its length"
    assert index.probe.duration_ms == 4000


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_time_begins_with_the_first_picture_wherever_the_files_clock_does(tmp_path: Path, name: str) -> None:
    index = read_index(make(tmp_path / name, Clip(moving, start_s=5)), Sampling())
    assert (index.probe.start_ms, index.probe.duration_ms, min(index.times)) == (5000, 4000, 0)


def test_a_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    index = read_index(make(tmp_path / "a.mkv", Clip(moving, times=[0, 0.1, 0.2, 1.5, 1.6, 5.0, 5.1])), Sampling())
    assert sorted(index.times) == [0, 100, 200, 1500, 1600, 5000, 5100]


@pytest.mark.parametrize("fps", [50, 60, 120])
def test_fast_videos_are_counted(tmp_path: Path, fps: int) -> None:
    assert probe(make(tmp_path / "a.mp4", Clip(moving, seconds=0.5, fps=fps))).fps == pytest.approx(fps, rel=0.01)


@pytest.mark.parametrize(("degrees", "size"), [(90, (90, 160)), (180, (160, 90)), (270, (90, 160))])
def test_size_and_rotation_are_those_of_the_picture_as_shown(tmp_path: Path, degrees: int, size: tuple[int, int]) -> None:
    found = probe(videos.turned(tmp_path / "b.mp4", make(tmp_path / "a.mp4", Clip(moving)), degrees))
    assert ((found.width, found.height), found.rotation) == (size, degrees)


@pytest.mark.parametrize(("rate", "channels", "codec"), [(8000, 1, "aac"), (48_000, 1, "aac"), (48_000, 2, "aac"), (48_000, 6, "ac3")])
def test_sound_is_told_by_codec_rate_and_channels(tmp_path: Path, rate: int, channels: int, codec: str) -> None:
    sound = Sound(tone(1, rate=rate), rate=rate, channels=channels, codec=codec)
    found = probe(make(tmp_path / "a.mkv", Clip(moving, seconds=1, sound=sound)))
    assert (found.audio_codec, found.sample_rate, found.channels) == (codec, rate, channels)


def test_a_video_of_one_odd_sized_frame_is_a_video(tmp_path: Path) -> None:
    found = probe(make(tmp_path / "a.mp4", Clip(moving, seconds=0.1, size=(161, 91), pixels="yuv444p")))
    assert (found.video_packets, found.width, found.height, found.duration_ms) == (1, 161, 91, 100)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (lambda path: path.write_bytes(b""), "The file is empty."),
        (lambda path: path.write_bytes(b"no video " * 999), "The file is not a video, or it is damaged from its beginning on."),
        (videos.archive, "The file is not a video, or it is damaged from its beginning on."),
        (videos.picture, "The file is a picture, not a video."),
        (lambda path: videos.picture(path, "PNG"), "The file is a picture, not a video."),
        (lambda path: videos.picture(path, "GIF"), "The file is a picture, not a video."),
        (lambda path: videos.sound_only(path, Sound(tone(1))), "The file holds sound but no moving pictures."),
    ],
)
def test_what_is_no_video_is_refused_whatever_its_name(tmp_path: Path, bad: Callable[[Path], object], reason: str) -> None:
    bad(tmp_path / "holiday.mp4")
    assert refusal(tmp_path / "holiday.mp4") == reason


@pytest.mark.parametrize(
    "playlist", ["#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile {}\n"]
)
def test_a_playlist_does_not_make_this_machine_open_other_files(tmp_path: Path, playlist: str) -> None:
    secret = make(tmp_path / "secret.mp4", Clip(moving, seconds=1))
    (tmp_path / "upload.mp4").write_text(playlist.format(secret))
    assert refusal(tmp_path / "upload.mp4").startswith("The file is not a video")


def test_a_container_that_is_not_allowed_is_named(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Clip(moving, seconds=1, container="mpegts"))
    assert refusal(path) == "The video's container is mpegts; accepted are mp4, mov, mkv, webm, avi."


def test_an_encrypted_video_is_refused(tmp_path: Path) -> None:
    options = (("encryption_scheme", "cenc-aes-ctr"), ("encryption_key", "00" * 16), ("encryption_kid", "11" * 16))
    assert refusal(make(tmp_path / "a.mp4", Clip(moving, container_options=options))) == "The video is encrypted."


def test_a_video_that_is_too_large_or_too_long_is_refused_with_both_figures(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mkv", Clip(moving))
    assert refusal(path, most_s=3) == "The video is 0:00:04 long; at most 0:00:03 are screened."
    assert "at most" in refusal(path, most_bytes=100)


def test_a_live_video_that_is_too_long_is_found_by_its_packets(tmp_path: Path) -> None:
    live = make(tmp_path / "a.webm", Clip(moving, codec="libvpx-vp9", container_options=(("live", "1"),)))
    assert "at most 0:00:03" in refusal(live, most_s=3)


def test_a_codec_that_is_not_known_here_is_refused(tmp_path: Path) -> None:
    content = make(tmp_path / "a.mp4", Clip(moving)).read_bytes()
    (tmp_path / "b.mp4").write_bytes(content.replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzC"))
    assert "cannot be" in refusal(tmp_path / "b.mp4") or "not known here" in refusal(tmp_path / "b.mp4")


@pytest.mark.parametrize(("name", "share"), [("a.mp4", 0.5), ("a.mov", 0.5), ("a.mp4", 0.99)], ids=["mp4", "mov", "in its index"])
def test_a_file_cut_off_before_the_end_of_its_index_is_refused_with_what_to_do(tmp_path: Path, name: str, share: float) -> None:
    path = videos.truncated(tmp_path / "cut.bin", make(tmp_path / name, Clip(moving)), share)
    assert refusal(path) == (
        "The video's index is missing, which usually means that the upload or the recording was cut off: upload it again, whole."
    )


@pytest.mark.parametrize("brand", [b"isom", b"heic"])
def test_an_index_that_is_whole_or_that_a_picture_never_has_is_not_missed(tmp_path: Path, brand: bytes) -> None:
    boxes = [(b"ftyp", brand + bytes(4)), (b"moov", bytes(99))][: 2 if brand == b"isom" else 1]
    (tmp_path / "a.mp4").write_bytes(b"".join((len(body) + 8).to_bytes(4, "big") + kind + body for kind, body in boxes))
    assert "index" not in refusal(tmp_path / "a.mp4")


def test_a_file_cut_off_in_the_middle_is_read_up_to_there(tmp_path: Path) -> None:
    index = read_index(videos.truncated(tmp_path / "b.mkv", make(tmp_path / "a.mkv", Clip(moving))), Sampling())
    assert 1500 <= index.probe.duration_ms <= 2500
    assert index.claimed_ms == 4000
