"""A voice for examples and tests on a machine that has none: English words, spoken with the sounds of pocketsphinx's own acoustic model.

The model that hears describes what each part of each sound is like on average, in context, as 13 cepstral coefficients. Turned back into a
spectrum and breathed through, that is hoarse speech, which pocketsphinx hears nearly word for word. No voice is downloaded, and one text
sounds the same everywhere. The formats (s3, bin_mdef) are described by the headers of the files themselves.
"""

import struct
import wave
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pocketsphinx import Decoder, get_model_path

from pressroom.errors import BadInput

Floats = NDArray[np.floating[Any]]

RATE = 16_000
# The analysis of the en-us model (its feat.params), turned round: 13 coefficients of 25 mel filters from 130 to 6,800 Hz, lifter 22.
COEFFICIENTS, FILTERS, LOWEST_HZ, HIGHEST_HZ, LIFTER, PREEMPHASIS = 13, 25, 130, 6800, 22, 0.97
# What the model takes as the mean of natural speech (its CMN start values): its own coefficients are differences from it.
NATURAL = np.array([41.0, -5.29, -0.12, 5.09, 2.48, -4.07, -1.37, -1.78, -5.08, -2.05, -6.45, -1.42, 1.17])
SIZE = 1024  # samples of one impulse response
STEP = RATE // 100  # 10 ms, the model's frame
PITCH_HZ = 100
VOICELESS = frozenset(("CH", "F", "HH", "K", "P", "S", "SH", "T", "TH", "SIL"))
VOWELS = frozenset(("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"))
# Frames for each of a sound's three states.
LENGTH = {"vowel": 5, "consonant": 3, "SIL": 8}
# Word positions in the model's tree: inside, first, last, only sound of a word.
INSIDE, FIRST, LAST, ONLY = range(4)


@dataclass(frozen=True)
class _Model:
    """Gaussian means (sound, density, coefficient), weights (density, senone), and the way from a sound in context to its three senones."""

    sounds: tuple[str, ...]
    means: Floats
    weights: Floats
    tree: Any
    sequence_of: Any
    sequences: Any

    def senones(self, sound: str, left: str, right: str, position: int) -> list[int]:
        """The senones of a sound between two others; those of the sound alone where the model has no such context."""
        index = self.sounds.index
        phone, first, count = index(sound), 0, 4
        for wanted in (position, index(sound), index(left), index(right)):
            level = self.tree[first : first + count]
            found = level[level["context"] == wanted]
            if not len(found):
                break
            first, count = int(found[0]["down"]), int(found[0]["count"])
            if count == 0:
                phone = first
        return [int(senone) for senone in self.sequences[self.sequence_of[phone]]]

    def spectrum(self, sound: str, senone: int) -> Floats:
        """Mean cepstral coefficients; the squared weights keep what is typical and drop what blurs it."""
        weights = self.weights[:, senone] ** 2
        mean: Floats = weights @ self.means[self.sounds.index(sound)] / weights.sum()
        return mean


def speak(text: str, path: Path, *, lead_s: float = 0.3) -> int:
    """Write `text` (English words) as 16-bit mono WAV at 16 kHz with `lead_s` of near-silence on both sides; its length in ms.

    Raises BadInput for a word that the dictionary of 134,000 does not have.
    """
    voice = speech(text)
    quiet = np.zeros(int(lead_s * RATE))
    # A little noise everywhere, 60 dB under the voice: the listener's noise suppression takes digital silence badly.
    samples = np.concatenate([quiet, voice, quiet])
    samples += np.random.default_rng(2).standard_normal(len(samples)) * 0.0005
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return len(samples) * 1000 // RATE


def speech(text: str) -> Floats:
    """`text` as samples (n,) at 16 kHz, peak 0.5."""
    model = _model()
    cepstra, voiced = [], []
    for sound, senones in _sounds(text, model):
        frames = LENGTH.get(sound, LENGTH["vowel" if sound in VOWELS else "consonant"])
        for senone in senones:
            cepstra += [model.spectrum(sound, senone)] * frames
            voiced += [sound not in VOICELESS] * frames
    samples = _sound(_smooth(np.array(cepstra)), voiced)
    loudest: float = np.abs(samples).max()
    return samples * (0.5 / loudest)


def _sounds(text: str, model: _Model) -> list[tuple[str, list[int]]]:
    """Each sound with its senones, silence first and last."""
    flat = [("SIL", ONLY)]
    for word in text.lower().split():
        if not (sounds := _dictionary().lookup_word(word.strip(".,!?;:"))):
            raise BadInput(f"the voice cannot say {word!r}: it is not in the English dictionary")
        parts = sounds.split()
        places = [ONLY] if len(parts) == 1 else [FIRST, *[INSIDE] * (len(parts) - 2), LAST]
        flat += zip(parts, places, strict=True)
    flat.append(("SIL", ONLY))
    return [
        (sound, model.senones(sound, flat[max(0, at - 1)][0], flat[min(len(flat) - 1, at + 1)][0], place))
        for at, (sound, place) in enumerate(flat)
    ]


def _smooth(cepstra: Floats) -> Floats:
    """Sounds glide into each other: a mean over three frames."""
    padded = np.pad(cepstra, ((1, 1), (0, 0)), mode="edge")
    smooth: Floats = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
    return smooth


def _sound(cepstra: Floats, voiced: list[bool]) -> Floats:
    """Frames of coefficients (n, 13) as samples: breath through each frame's spectrum, and a pulse for each swing of the vocal cords."""
    noise = np.random.default_rng(1)
    window = np.hanning(SIZE)
    samples = np.zeros(STEP * len(cepstra) + 2 * SIZE)
    pulse = 0.0
    for at, (loudness, has_voice) in enumerate(zip(_loudness(cepstra), voiced, strict=True)):
        response = np.roll(np.fft.irfft(loudness, SIZE), SIZE // 2) * window
        start, end = at * STEP, (at + 1) * STEP
        samples[start : end + SIZE - 1] += np.convolve(noise.standard_normal(STEP), response)
        while has_voice and pulse < end:
            samples[int(pulse) : int(pulse) + SIZE] += response * np.sqrt(RATE / PITCH_HZ)
            pulse += RATE / PITCH_HZ
        pulse = max(pulse, end)
    return samples


def _loudness(cepstra: Floats) -> Floats:
    """Amplitude spectra (n, SIZE / 2 + 1) of coefficients (n, 13): the model's analysis, backwards."""
    order, filters = np.arange(COEFFICIENTS), np.arange(FILTERS)
    cosines = np.cos(np.pi * np.outer(order, filters + 0.5) / FILTERS) * np.sqrt(2 / FILTERS)
    cosines[0] /= np.sqrt(2)
    logs = (cepstra + NATURAL) / (1 + LIFTER / 2 * np.sin(order * np.pi / LIFTER)) @ cosines
    hertz = np.fft.rfftfreq(SIZE, 1 / RATE)
    centres = np.linspace(_mel(np.array(LOWEST_HZ)), _mel(np.array(HIGHEST_HZ)), FILTERS + 2)[1:-1]
    emphasis = np.maximum(np.abs(1 - PREEMPHASIS * np.exp(-2j * np.pi * hertz / RATE)) ** 2, 1e-3)
    spectra: Floats = np.exp(np.array([np.interp(_mel(hertz), centres, row) for row in logs]) / 2) / np.sqrt(emphasis)
    return spectra


def _mel(hertz: Floats) -> Floats:
    mel: Floats = 2595 * np.log10(1 + hertz / 700)
    return mel


@cache
def _dictionary() -> Any:
    return Decoder(loglevel="FATAL")


@cache
def _model() -> _Model:
    """The en-us model's files, as far as a voice needs them."""
    folder = Path(get_model_path()) / "en-us" / "en-us"
    means = (folder / "means").read_bytes().partition(b"endhdr\n")[2]
    _, codebooks, features, densities, length, *_ = struct.unpack("<8I", means[:32])
    gaussians = np.frombuffer(means, "<f4", offset=32).copy()[: codebooks * features * densities * length]
    mixtures = (folder / "sendump").read_bytes()
    definition = (folder / "mdef").read_bytes()
    at = definition.index(b"END FILE FORMAT DESCRIPTION\n")
    at = definition.index(b"+NSN+\0", at)  # the first sound; ten counts stand before it
    counts = struct.unpack("<10i", definition[at - 40 : at])
    n_sounds, n_phones, n_senones, n_sequences, n_tree = counts[0], counts[1], counts[4], counts[6], counts[8]
    names = definition[at:].split(b"\0", n_sounds)[:n_sounds]
    at += (sum(len(name) + 1 for name in names) + 3) // 4 * 4
    tree = np.frombuffer(definition, [("context", "<i2"), ("count", "<i2"), ("down", "<i4")], count=n_tree, offset=at)
    at += tree.nbytes
    phones = np.frombuffer(definition, [("sequence", "<i4"), ("rest", "V8")], count=n_phones, offset=at)
    at += phones.nbytes + 4
    # A weight is stored as the logarithm to base 1.0001, divided by 1,024.
    logs = np.frombuffer(mixtures[-features * densities * n_senones :], "u1").reshape(features, densities, n_senones)[0]
    return _Model(
        sounds=tuple(name.decode() for name in names),
        means=gaussians.reshape(codebooks, features, densities, length)[:, 0].astype(float),
        weights=np.exp(logs.astype(float) * -1024 * np.log(1.0001)),
        tree=tree,
        sequence_of=phones["sequence"],
        sequences=np.frombuffer(definition, "<i2", count=n_sequences * 3, offset=at).reshape(n_sequences, 3),
    )
