"""Speech heard on this machine. The words are spoken by the product's own voice and heard by the real pocketsphinx."""

import asyncio
import sys
from pathlib import Path

import numpy as np
import pytest

from pressroom.errors import BadInput
from pressroom.inference.synthesis import speak
from pressroom.inference.transcript import (
    RATE,
    UTTERANCE_S,
    Transcript,
    Word,
    phrases,
    pocketsphinx_transcript,
    utterances,
    whisper_transcript,
)
from pressroom.inference.types import Detection, Media, Progress
from tests.inference.looking import silence, sounding


def hear(media: Media, runner: Transcript | None = None, progress: Progress = lambda done, total: None) -> Detection:
    return asyncio.run((runner or pocketsphinx_transcript(1)).detect(media, progress))


def test_spoken_words_are_heard_where_they_are_spoken(tmp_path: Path) -> None:
    ms = speak("the weapon is hidden under the table", tmp_path / "a.wav")
    found = hear(sounding(tmp_path / "a.wav", ms, (200, ms - 200)))
    assert " ".join(str(signal.text) for signal in found.signals) == "the weapon is hidden under the table"
    first = found.signals[0]
    assert (first.detector, first.label, first.frame, first.box) == ("transcript", "speech", None, None)
    assert first.version.startswith("pocketsphinx-5")
    assert first.version.endswith("/en-us")
    assert 200 <= first.start_ms < found.signals[-1].end_ms <= ms
    assert all(signal.score is not None and 0 < signal.score <= 1 for signal in found.signals)
    assert (found.coverage.state, found.coverage.seconds, found.coverage.looks) == ("analysed", ms / 1000, 1)


def test_what_is_heard_depends_neither_on_what_was_heard_before_nor_on_the_number_of_processes(tmp_path: Path) -> None:
    ms = speak("hello", tmp_path / "a.wav")
    media = sounding(tmp_path / "a.wav", ms, (0, ms), (0, ms))
    one = hear(media)
    first, second = one.signals
    assert first.model_copy(update={"number": 1}) == second
    assert hear(media, pocketsphinx_transcript(2)) == one


def test_silence_and_noise_give_no_words(tmp_path: Path) -> None:
    assert hear(sounding(silence(tmp_path / "silence.wav", 2000), 2000, (0, 2000))).signals == ()
    assert hear(sounding(silence(tmp_path / "hiss.wav", 2000, loudness=0.001), 2000, (0, 2000))).signals == ()


def test_a_video_without_sound_has_nothing_that_was_not_heard(tmp_path: Path) -> None:
    coverage = hear(Media("video-1", 5000, (), tmp_path)).coverage
    assert (coverage.state, coverage.fraction, coverage.looks) == ("analysed", 1.0, 0)
    assert coverage.reason == "The video has no sound: there is nothing to hear."


def test_a_video_in_which_nobody_speaks_is_listened_to_without_a_process(tmp_path: Path) -> None:
    found = hear(sounding(tmp_path / "never-opened.wav", 5000))
    assert (found.signals, found.coverage.state, found.coverage.fraction) == ((), "analysed", 1.0)


def test_another_language_is_not_called_heard(tmp_path: Path) -> None:
    coverage = hear(sounding(tmp_path / "never-opened.wav", 5000, (0, 5000), language="pt-BR")).coverage
    assert (coverage.state, coverage.seconds) == ("unsupported", 0.0)
    assert "pt-BR" in coverage.reason
    assert "PRESSROOM_WHISPER_MODEL" in coverage.reason


def test_sound_that_cannot_be_read_has_failed(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    coverage = hear(sounding(tmp_path / "a.wav", 4000, (0, 1000), (2000, 3000))).coverage
    assert (coverage.state, coverage.seconds) == ("failed", 0.0)
    assert coverage.reason.startswith("2 of 2 stretches of speech could not be heard: ")


def test_a_pause_or_fourteen_words_end_a_phrase() -> None:
    spoken = [Word(str(at), at * 200, at * 200 + 150, 1.0) for at in range(16)]
    after = Word("later", 16 * 200 + 600, 16 * 200 + 900, 1.0)
    assert [len(row) for row in phrases([*spoken, after])] == [14, 2, 1]
    assert phrases([]) == []


def test_long_speech_is_cut_where_it_is_quietest_and_nothing_is_lost() -> None:
    rng = np.random.default_rng(1)
    samples = (rng.standard_normal(70 * RATE) * 3000).astype("<i2")
    samples[24 * RATE : 24 * RATE + RATE // 10] = 0
    pieces = list(utterances(samples, 1000))
    assert np.array_equal(np.concatenate([piece for _, piece in pieces]), samples)
    assert all(len(piece) <= UTTERANCE_S * RATE for _, piece in pieces)
    assert 25_000 <= pieces[1][0] <= 25_100, "the cut is in the quiet tenth of a second, 24 s after the start at 1 s"


def test_a_whisper_model_without_its_package_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="faster-whisper is not installed"):
        whisper_transcript(tmp_path)


def test_where_faster_whisper_is_installed_it_listens_in_any_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is not among ours: one with the same face stands in its place, in the child too."""
    package = tmp_path / "packages" / "faster_whisper"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from types import SimpleNamespace\n"
        "class WhisperModel:\n"
        "    def __init__(self, folder, device, compute_type, local_files_only):\n"
        "        assert local_files_only\n"
        "    def transcribe(self, samples, language, beam_size, condition_on_previous_text):\n"
        "        assert samples.dtype == 'float32' and len(samples) == 16000\n"
        "        found = SimpleNamespace(text=f' {language} spoken ', start=0.25, end=0.75, avg_logprob=-0.5)\n"
        "        return iter([found, SimpleNamespace(text=' ', start=0, end=1, avg_logprob=0)]), None\n"
    )
    facts = tmp_path / "packages" / "faster_whisper-1.2.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: faster-whisper\nVersion: 1.2.0\n")
    model = tmp_path / "small"
    model.mkdir()
    monkeypatch.syspath_prepend(str(package.parent))
    with pytest.raises(BadInput, match=r"no model\.bin"):
        whisper_transcript(model)
    (model / "model.bin").touch()

    runner = whisper_transcript(model)
    found = hear(sounding(silence(tmp_path / "a.wav", 3000), 3000, (1000, 2000), language="pt-BR"), runner)
    sys.modules.pop("faster_whisper", None)
    assert runner.version == "faster-whisper-1.2.0/small"
    assert [(one.text, one.start_ms, one.end_ms, one.score) for one in found.signals] == [("pt spoken", 1250, 1750, 0.6065)]
