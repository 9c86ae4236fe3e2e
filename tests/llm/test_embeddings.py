"""Vectors of sentences made on this machine."""

import subprocess
import sys

import numpy as np

from pressroom.llm.embeddings import DIMENSION, embed


def test_vectors_have_length_one_and_alike_phrases_are_near() -> None:
    vectors = embed(["how to clean a coffee grinder", "cleaning your coffee grinder", "federal solar tax credit", ""])
    assert (vectors.shape, vectors.dtype) == ((4, DIMENSION), np.float32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 0], atol=1e-6), "a text without words has the zero vector"
    assert vectors[0] @ vectors[1] > 0.7 > 0.2 > vectors[0] @ vectors[2]
    assert embed([]).shape == (0, DIMENSION)


def test_a_text_has_the_same_vector_in_any_company() -> None:
    texts = [f"heat pump number {number}" for number in range(50)]
    assert np.array_equal(embed(texts)[7], embed(["a much longer text beside it " * 20, texts[7]])[1])


def test_the_vectors_are_those_of_the_wordllama_library() -> None:
    """The library is not used at run time (it loads an HTTP client and sets the root logger); its files are read directly."""
    code = (
        "import pathlib, numpy, wordllama; from pressroom.llm.embeddings import embed;"
        "texts = ['Where is my card?', 'コーヒー豆 通販', 'a', 'heat pump vs furnace ' * 30];"
        "library = wordllama.WordLlama.load(cache_dir=pathlib.Path(wordllama.__file__).parent, disable_download=True);"
        "assert numpy.abs(embed(texts) - library.embed(texts, norm=True)).max() < 1e-5"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
