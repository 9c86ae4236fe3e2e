"""OpenAI's embeddings: vectors of length 1 in which similar texts are near, as the tests of clustering need them."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from simulators.openai_failures import HUGE
from simulators.openai_wire import Asked, Refused, read_model, tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Embedder = Callable[[Sequence[str]], "NDArray[np.float32]"]

DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072}
MOST_TEXTS = 2048
MOST_TOKENS = 8192  # of one text
MOST_TOKENS_TOGETHER = 300_000
FORMATS = ("float", "base64")


def read_embeddings(body: dict[str, Any]) -> Asked:
    """The request for vectors, checked as the real endpoint checks it (arrays of tokens are not simulated). Raises Refused."""
    model = read_model("embeddings", body, DIMENSIONS)
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refused(400, "invalid_type", "Invalid type for 'input': expected a string or an array of strings.", param="input")
    if not texts:
        message = "Invalid 'input': empty array. Expected an array with minimum length 1, but got an empty array instead."
        raise Refused(400, "empty_array", message, param="input")
    if len(texts) > MOST_TEXTS:
        message = (
            f"Invalid 'input': array too long. Expected an array with maximum length {MOST_TEXTS}, "
            f"but got an array with length {len(texts)} instead."
        )
        raise Refused(400, "array_above_max_length", message, param="input")
    _hold_lengths(texts)
    most = DIMENSIONS[model]
    dimensions = body.get("dimensions", most)
    if type(dimensions) is not int or not 1 <= dimensions <= most:
        message = f"Invalid value for 'dimensions' = {dimensions}. Must be between 1 and {most}."
        raise Refused(400, "invalid_value", message, param="dimensions")
    if body.get("encoding_format", "float") not in FORMATS:
        message = f"Invalid value: '{body['encoding_format']}'. Supported values are: 'float' and 'base64'."
        raise Refused(400, "invalid_value", message, param="encoding_format")
    return Asked("embeddings", model, "", "\n".join(texts), "", {}, None, body)


def _hold_lengths(texts: list[str]) -> None:
    for number, text in enumerate(texts):
        if not text:
            raise Refused(400, "invalid_value", f"Invalid 'input[{number}]': input cannot be an empty string.", param="input")
        if tokens(text) > MOST_TOKENS:
            message = f"Invalid 'input[{number}]': maximum input length is {MOST_TOKENS} tokens."
            raise Refused(400, "invalid_value", message, param="input")
    together = sum(map(tokens, texts))
    if together > MOST_TOKENS_TOGETHER:
        message = f"Requested {together} tokens, max {MOST_TOKENS_TOGETHER} tokens per request"
        raise Refused(400, "max_tokens_per_request", message)


def embeddings(asked: Asked, embedder: Embedder, kind: str) -> dict[str, Any]:
    """The document with the vectors. `kind` may be one of USELESS_VECTORS: `incomplete` lacks the last, `other-answer` has half of each."""
    texts = [asked.body["input"]] if isinstance(asked.body["input"], str) else asked.body["input"]
    rows = vectors(asked.model, texts, embedder)[:, : asked.body.get("dimensions")]
    rows = unit(rows[:, : max(1, rows.shape[1] // 2)] if kind == "other-answer" else rows)
    rows = rows[: {"empty": 0, "incomplete": len(rows) - 1}.get(kind, len(rows))]
    written = _base64 if asked.body.get("encoding_format") == "base64" else _floats
    body: dict[str, Any] = {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": written(row)} for index, row in enumerate(rows)],
        "model": asked.model,
        "usage": {"prompt_tokens": asked.input_tokens, "total_tokens": asked.input_tokens},
    }
    match kind:
        case "no-usage":
            body["usage"] = None
        case "wrong-usage":
            body["usage"] = {"prompt_tokens": -7, "total_tokens": -7}
        case "huge":
            body["padding"] = "x" * HUGE
    return body


def vectors(model: str, texts: Sequence[str], embedder: Embedder) -> "NDArray[np.float32]":
    """One vector per text, float32 array (n, the model's dimension), each of length 1.

    The embedder's vectors side by side as often as they fit, each time with other signs: the cosine of two texts stays what it was, and
    the vectors of two models (or of a model and the embedder itself) have nothing to do with each other.
    """
    import numpy as np

    near = unit(np.asarray(embedder(texts), dtype=np.float32))
    size = DIMENSIONS[model]
    signs = np.random.default_rng(list(hashlib.sha256(model.encode()).digest())).choice([-1.0, 1.0], size).astype(np.float32)
    return unit(np.tile(near, -(-size // near.shape[1]))[:, :size] * signs)


def unit(rows: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """The same directions at length 1. A row of zeros, of which no direction is known, gets the first one."""
    import numpy as np

    rows = rows.copy()
    rows[~rows.any(axis=1), 0] = 1.0
    scaled: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def _floats(row: "NDArray[np.float32]") -> list[float]:
    numbers: list[float] = row.tolist()
    return numbers


def _base64(row: "NDArray[np.float32]") -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode()
