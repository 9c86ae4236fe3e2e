"""Sentence vectors made on this machine: a static table of word-piece vectors that comes inside the `wordllama` wheel."""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pressroom.errors import Permanent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

NAME = "wordllama-l2_supercat-256"
DIMENSION = 256

BATCH = 4096  # texts a tokenizer call; bounds the memory of its answers


def embed(texts: Sequence[str]) -> "NDArray[np.float32]":
    """One vector per text, float32 array (n, 256), each of length 1, so that a dot product is the cosine similarity.

    The mean of the text's word-piece vectors. A text without any word piece (an empty one) has the zero vector.
    Raises Permanent when the weights are not installed; nothing is ever downloaded.
    """
    import numpy as np

    vectors = np.zeros((len(texts), DIMENSION), dtype=np.float32)
    if not texts:
        return vectors
    tokenizer, table = _model()
    for start in range(0, len(texts), BATCH):
        pieces = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts[start : start + BATCH]), add_special_tokens=False)]
        filled = [row for row, ids in enumerate(pieces) if ids]
        if filled:
            lengths = np.array([len(pieces[row]) for row in filled])
            ids = np.concatenate([pieces[row] for row in filled])
            vectors[start + np.array(filled)] = np.add.reduceat(table[ids], np.cumsum(lengths) - lengths, axis=0)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.divide(vectors, norms, out=vectors, where=norms > 0)
    return vectors


@cache
def _model() -> "tuple[Tokenizer, NDArray[np.float32]]":
    """The tokenizer and the table (word pieces, 256), read straight from the wheel's files.

    `import wordllama` takes 0.5 s more, loads an HTTP client and turns the root logger to INFO.
    """
    import numpy as np
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    package = find_spec("wordllama")
    if package is None or package.origin is None:
        raise Permanent("the package wordllama is not installed: its wheel holds the weights of the embeddings")
    folder = Path(package.origin).parent
    tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, load_file(folder / "weights" / "l2_supercat_256.safetensors")["embedding.weight"].astype(np.float32)
