"""Vectors that are near where texts are: the mean of each text's word pieces, from the table inside the `wordllama` wheel.

A simulator knows nothing of the product, so it reads the wheel itself.
"""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer


def near(texts: Sequence[str]) -> "NDArray[np.float32]":
    """One vector per text, float32 array (n, 256). A text without any word piece has the zero vector."""
    import numpy as np

    tokenizer, table = _model()
    vectors = np.zeros((len(texts), table.shape[1]), dtype=np.float32)
    for row, encoding in enumerate(tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)):
        if encoding.ids:
            vectors[row] = table[encoding.ids].mean(axis=0)
    return vectors


@cache
def _model() -> "tuple[Tokenizer, NDArray[np.float32]]":
    """The tokenizer and the table (word pieces, 256). Raises FileNotFoundError when the wheel is not installed."""
    import numpy as np
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    package = find_spec("wordllama")  # `import wordllama` would take 0.5 s and set the root logger
    if package is None or package.origin is None:
        raise FileNotFoundError("the package wordllama is not installed: its wheel holds the table of word pieces")
    folder = Path(package.origin).parent
    tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, load_file(folder / "weights" / "l2_supercat_256.safetensors")["embedding.weight"].astype(np.float32)
