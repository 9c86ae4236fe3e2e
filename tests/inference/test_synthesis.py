"""The voice for examples and tests."""

import wave
from pathlib import Path

import pytest

from pressroom.errors import BadInput
from pressroom.inference.synthesis import speak


def test_the_same_text_sounds_the_same_every_time(tmp_path: Path) -> None:
    ms = speak("Hello, world.", tmp_path / "a.wav")
    assert speak("hello world", tmp_path / "b.wav") == ms
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        assert file.getnframes() * 1000 // 16_000 == ms


def test_a_word_that_is_not_in_the_dictionary_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="'brzk'"):
        speak("hello brzk", tmp_path / "a.wav")
