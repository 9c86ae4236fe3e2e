"""The sound of a video: one WAV on the video's own clock, its level, and where somebody speaks."""

import wave
from pathlib import Path

import numpy as np
import pytest

from pressroom.compliance.probe import read_index
from pressroom.compliance.sampling import Sampling
from pressroom.compliance.sound import Heard, listen, sound_coverage, sound_signals, speech_spans
from tests import videos
from tests.videos import Clip, Sound, make, moving, noise, silence, tone, voice


def heard_in(path: Path, out: Path) -> list[Heard]:
    return list(listen(path, read_index(path, Sampling()), out))


def samples_of(path: Path) -> "np.ndarray[tuple[int], np.dtype[np.int16]]":
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def levels(*db: float) -> list[Heard]:
    return [Heard(length_ms=1000, level_db=level, speech="0" * 50) for level in db]


@pytest.mark.parametrize(("rate", "channels", "codec"), [(8000, 1, "aac"), (48_000, 1, "aac"), (48_000, 2, "libopus"), (48_000, 6, "ac3")])
def test_whatever_the_rate_and_the_channels_it_becomes_16_khz_mono_of_the_same_level(
    tmp_path: Path, rate: int, channels: int, codec: str
) -> None:
    clip = Clip(moving, seconds=3, sound=Sound(tone(3, rate=rate, level=0.5), rate=rate, channels=channels, codec=codec))
    heard = heard_in(make(tmp_path / "a.mkv", clip), tmp_path / "a.wav")
    samples = samples_of(tmp_path / "a.wav")
    assert len(samples) == pytest.approx(3 * 16_000, abs=1600)
    assert sum(second.length_ms for second in heard) == len(samples) // 16
    assert heard[1].level_db == pytest.approx(-9, abs=6), "a sine of half of full scale has -9 dBFS; mixing down moves it a little"
    crossings = np.count_nonzero(np.diff(np.signbit(samples[16_000:32_000])))
    assert crossings == pytest.approx(880, abs=8), "440 Hz is still 440 Hz"


def test_sound_that_begins_later_than_the_pictures_keeps_its_time(tmp_path: Path) -> None:
    """Words must be found at the time at which they are said: what is missing before them is silence."""
    late = np.concatenate([silence(1), tone(1), silence(1)])
    heard = heard_in(make(tmp_path / "a.mkv", Clip(moving, seconds=3, start_s=2, sound=Sound(late))), tmp_path / "a.wav")
    assert [second.level_db > -20 for second in heard[:3]] == [False, True, False]


def test_sound_from_before_the_first_picture_and_after_the_last_is_left_off(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mkv", Clip(moving, times=[1.0 + number / 10 for number in range(20)], sound=Sound(tone(6))))
    heard_in(path, tmp_path / "a.wav")
    assert len(samples_of(tmp_path / "a.wav")) == pytest.approx(2 * 16_000, abs=800)


def test_a_damaged_middle_is_silent_and_what_follows_keeps_its_time(tmp_path: Path) -> None:
    sound = Sound(np.concatenate([tone(4), silence(1), tone(1)]))
    clip = Clip(moving, seconds=6, gop=10, sound=sound, container_options=(("movflags", "faststart"),))
    content = bytearray(make(tmp_path / "a.mp4", clip).read_bytes())
    begin = round(len(content) * 0.4)
    content[begin : begin + 4000] = bytes(4000)
    (tmp_path / "b.mp4").write_bytes(content)
    heard = heard_in(tmp_path / "b.mp4", tmp_path / "b.wav")
    assert len(heard) >= 6
    assert heard[5].level_db > -20


def test_speech_is_found_where_it_is(tmp_path: Path) -> None:
    sound = Sound(np.concatenate([silence(2), voice(2), silence(2)]))
    heard = heard_in(make(tmp_path / "a.mp4", Clip(moving, seconds=6, sound=sound)), tmp_path / "a.wav")
    ((start, end),) = speech_spans(heard)
    assert start == pytest.approx(2000, abs=300)
    assert end == pytest.approx(4000, abs=300)


def test_silence_is_not_speech_and_noise_is_not_silence(tmp_path: Path) -> None:
    quiet = heard_in(make(tmp_path / "a.mp4", Clip(moving, seconds=3, sound=Sound(silence(3)))), tmp_path / "a.wav")
    assert speech_spans(quiet) == ()
    (signal,) = sound_signals(quiet)
    assert (signal.label, signal.start_ms, signal.end_ms) == ("silence", 0, 3000)
    loud = heard_in(make(tmp_path / "b.mp4", Clip(moving, seconds=3, sound=Sound(noise(3)))), tmp_path / "b.wav")
    assert sound_signals(loud) == ()


def test_speech_given_as_a_wav_is_in_the_video(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "speech.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((voice(2, rate=16_000) * 32767).astype("<i2").tobytes())
    clip = Clip(moving, seconds=2, sound=videos.read_wav(tmp_path / "speech.wav"))
    assert speech_spans(heard_in(make(tmp_path / "a.mp4", clip), tmp_path / "a.wav"))


def test_the_file_is_whole_after_every_second(tmp_path: Path) -> None:
    """The process that writes it may be killed at any time: what it has told of can be listened to."""
    path = make(tmp_path / "a.mp4", Clip(moving, seconds=4, sound=Sound(tone(4))))
    seconds = listen(path, read_index(path, Sampling()), tmp_path / "a.wav")
    next(seconds)
    next(seconds)
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "copy.wav").write_bytes(content)
    assert len(samples_of(tmp_path / "copy.wav")) >= 32_000


def test_short_pauses_are_bridged_and_clicks_left_out() -> None:
    click = "0" * 20 + "1" * 3 + "0" * 27
    sentence = "0" * 10 + "1" * 15 + "0" * 10 + "1" * 15
    spans = speech_spans([Heard(length_ms=1000, level_db=-20, speech=speech) for speech in (click, sentence, "0" * 50)])
    assert spans == ((1100, 2100),)


def test_only_two_seconds_of_silence_and_more_are_a_signal() -> None:
    signals = sound_signals(levels(-20, -90, -20, -96, -70, -20))
    assert [(signal.start_ms, signal.end_ms, signal.score) for signal in signals] == [(3000, 5000, 0.9997)]


def test_a_video_without_sound_is_skipped_and_one_whose_sound_fails_has_failed(tmp_path: Path) -> None:
    probe = read_index(make(tmp_path / "a.mp4", Clip(moving, seconds=2)), Sampling()).probe
    assert (sound_coverage([], probe, 0).state, sound_coverage([], probe, 0).reason) == ("skipped", "The video has no sound.")
    sounding = probe.model_copy(update={"audio_codec": "aac"})
    assert sound_coverage([], sounding, 0).state == "failed"
    short = sound_coverage(levels(-20), sounding, 2000)
    assert (short.seconds, short.of_s, short.reason) == (1.0, 4.0, "The sound ends after 1.0 of 4.0 s.")
