"""Vectors from an OpenAI-compatible endpoint, through the gateway: a request is a list of texts, its answer is booked as any other."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, JsonValue, SecretStr

from pressroom.errors import Permanent, Transient
from pressroom.llm.openai_provider import OpenAIProvider
from pressroom.llm.types import Outcome, RawAnswer, Request, T, Ticket
from pressroom.records import Usage, version_of_text

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from openai import AsyncOpenAI

    from pressroom.llm.gateway import Gateway


class Vectors(BaseModel):
    """One vector per text, in their order: float32, little-endian, in base64."""

    vectors: list[str]


class OpenAIEmbeddings(OpenAIProvider):
    """One embedding model at one endpoint."""

    def __init__(
        self, *, key: SecretStr, base_url: str, model: str, dimension: int, name: str = "openai", prices: "Path | None" = None
    ) -> None:
        super().__init__(key=key, base_url=base_url, model=model, name=name, reasons=False, prices=prices)
        self.dimension = dimension

    @property
    def space(self) -> str:
        """The name of the space of its vectors: provider, model and dimension."""
        return f"{self.name}/{self.model}@{self.dimension}"

    def _calls(self, client: "AsyncOpenAI") -> Any:
        return client.embeddings.with_streaming_response

    async def send(self, request: Request[T], ticket: Ticket) -> RawAnswer:
        client = await self._ready()
        texts = json.loads(request.input)
        sending = self._calls(client).create(model=self.model, input=texts, dimensions=self.dimension, encoding_format="base64")
        content, quotas = await self._received(sending, request)
        body = self._document(content)
        data = body.get("data")
        if not isinstance(data, list) or len(data) != len(texts):
            raise Transient(f"{self._where} answered with JSON of another shape: it may have no model {self.model!r} for embeddings")
        said = body.get("usage")
        tokens = said.get("prompt_tokens") if isinstance(said, dict) else None
        return RawAnswer(body, Usage(input=tokens) if type(tokens) is int and tokens >= 0 else None, quotas)

    def read(self, body: Mapping[str, JsonValue]) -> tuple[Outcome, str, str]:
        data = [item for item in body["data"] if isinstance(item, dict)] if isinstance(body.get("data"), list) else []  # type: ignore[union-attr]
        in_order = sorted(data, key=lambda item: item["index"] if isinstance(item.get("index"), int) else 0)  # type: ignore[arg-type,return-value]
        return "valid", json.dumps({"vectors": [item.get("embedding") for item in in_order]}), ""

    def largest(self, request: Request[T]) -> Usage:
        return Usage(input=len(request.input) // 3)


def ask_for_vectors(gateway: "Gateway", dimension: int, texts: Sequence[str]) -> "NDArray[np.float32]":
    """The vectors of `texts`, float32 array (n, dimension), as the endpoint gave them: one request, and one row of the ledger.

    Blocks until they are there. Raises what the gateway raises, Permanent for vectors of another dimension.
    """
    import numpy as np

    words = json.dumps(list(texts), ensure_ascii=False)
    answer = gateway.ask_now(
        Request(
            purpose="embedding",
            item=f"texts/{version_of_text(words)}",
            prompt_id="embedding",
            prompt_version=str(dimension),
            instructions="",
            input=words,
            answer=Vectors,
            offline=_never,
        )
    )
    if answer.value is None:
        raise Permanent(f"{answer.model} gave no vectors: {answer.problem or answer.outcome}")
    rows = [_vector(encoded, dimension, answer.model) for encoded in answer.value.vectors]
    return np.array(rows, dtype=np.float32).reshape(len(texts), dimension)


def _vector(encoded: str, dimension: int, model: str) -> "NDArray[np.float32]":
    import numpy as np

    try:
        vector = np.frombuffer(base64.b64decode(encoded, validate=True), dtype="<f4")
    except ValueError:
        raise Permanent(f"{model} gave something else than vectors in base64") from None
    if vector.shape != (dimension,):
        raise Permanent(f"{model} gave a vector of {len(vector)} numbers, expected {dimension}: the table of models names its dimension")
    return vector


def _never() -> Vectors:
    raise AssertionError("vectors are made on this machine without the gateway")
