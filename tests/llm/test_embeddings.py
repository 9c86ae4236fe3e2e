"""Vectors of sentences made on this machine, and what cosines mean in a space."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from pressroom.errors import Permanent
from pressroom.llm.calibration import calibrate, calibration_set, cosines_of
from pressroom.llm.embeddings import ON_DEVICE, OnDevice

embed = OnDevice().embed


def test_vectors_have_length_one_and_alike_phrases_are_near() -> None:
    vectors = embed(["how to clean a coffee grinder", "cleaning your coffee grinder", "federal solar tax credit", "", " \n"])
    assert (vectors.shape, vectors.dtype) == ((5, ON_DEVICE.dimension), np.float32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 0, 0], atol=1e-6), "a text without words has the zero vector"
    assert vectors[0] @ vectors[1] > 0.7 > 0.2 > vectors[0] @ vectors[2]
    assert embed([]).shape == (0, ON_DEVICE.dimension)


def test_a_text_has_the_same_vector_in_any_company() -> None:
    texts = [f"heat pump number {number}" for number in range(50)]
    assert np.array_equal(embed(texts)[7], embed(["a much longer text beside it " * 20, texts[7]])[1])


def test_the_vectors_are_those_of_the_wordllama_library() -> None:
    """The library is not used at run time (it loads an HTTP client and sets the root logger); its files are read directly."""
    code = (
        "import pathlib, numpy, wordllama; from pressroom.llm.embeddings import OnDevice;"
        "texts = ['Where is my card?', 'コーヒー豆 通販', 'a', 'heat pump vs furnace ' * 30];"
        "library = wordllama.WordLlama.load(cache_dir=pathlib.Path(wordllama.__file__).parent, disable_download=True);"
        "assert numpy.abs(OnDevice().embed(texts) - library.embed(texts, norm=True)).max() < 1e-5"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_thresholds_of_the_on_device_space_are_what_its_calibration_measures() -> None:
    """The constants are from before the set was written; it must come to nearly the same, and be the set they were compared with."""
    measured = calibrate(ON_DEVICE.name, embed)
    assert measured.related == pytest.approx(ON_DEVICE.related, abs=0.03)
    assert measured.repeat == pytest.approx(ON_DEVICE.repeat, abs=0.03)
    assert measured.dimension == ON_DEVICE.dimension
    assert measured.calibration == ON_DEVICE.calibration, "the set changed: compare the constants with it again, and say so there"


def test_what_the_constants_catch_and_turn_down_is_as_their_comment_says() -> None:
    cosines = cosines_of(embed(calibration_set().texts))
    assert (len(cosines.apart), len(cosines.repeats), len(cosines.honest)) == (9504, 20, 100)
    assert np.mean(cosines.apart < ON_DEVICE.related) > 0.99
    assert np.sum(cosines.repeats >= ON_DEVICE.repeat) == 16
    assert np.sum(cosines.honest >= ON_DEVICE.repeat) == 7


def test_a_rotated_space_has_the_same_thresholds() -> None:
    """Only the angles between vectors count, not their numbers or how many there are."""
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(384, 256)))[0].T.astype(np.float32)
    turned = calibrate("turned", lambda texts: embed(texts) @ turn)
    assert turned == calibrate("turned", embed).model_copy(update={"dimension": 384})


@pytest.mark.parametrize("dimension", [1, 2])
def test_vectors_that_do_not_tell_subjects_apart_are_refused(dimension: int) -> None:
    def alike(texts: object) -> NDArray[np.float32]:
        return np.ones((len(calibration_set().texts), dimension), dtype=np.float32) / np.float32(dimension**0.5)

    with pytest.raises(Permanent, match="'alike' do not tell subjects apart"):
        calibrate("alike", alike)


def test_the_version_of_the_set_follows_its_words_and_its_rule() -> None:
    known = calibration_set()
    other = known.model_copy(update={"below": known.below.model_copy(update={"repeat": 0.9})})
    assert len({known.version, other.version, known.model_copy(update={"ideas": known.ideas[1:]}).version}) == 3
    assert len(set(known.texts)) == len(known.texts) == 12 * 12 + 20 * 4
