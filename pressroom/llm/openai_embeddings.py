"""Vectors from an OpenAI-compatible endpoint, through the gateway: a request is a list of texts, its answer is booked as any other."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, JsonValue, SecretStr

from pressroom.errors import Permanent, Transient
from pressroom.llm.openai_provider import OpenAIProvider, usage_of
from pressroom.llm.types import Answer, Outcome, RawAnswer, Request, T, Ticket
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

    def _named(self, *settings: str) -> str:
        """As any provider names settings; which model makes vectors, and of what dimension, stands in the table of models alone."""
        return super()._named(*dict.fromkeys("PRESSROOM_MODELS" if each.startswith("PRESSROOM_LLM") else each for each in settings))

    async def send(self, request: Request[T], ticket: Ticket) -> RawAnswer:
        client = await self._ready()
        texts = json.loads(request.input)
        sending = self._calls(client).create(model=self.model, input=texts, dimensions=self.dimension, encoding_format="base64")
        content, quotas = await self._received(sending, request)
        body = self._document(content)
        data, said = body.get("data"), body.get("usage")
        if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
            raise Transient(f"{self._where} answered with JSON of another shape: it may have no model {self.model!r} for embeddings")
        # Nothing comes out that is counted: what other APIs ask for is 0 here.
        return RawAnswer(body, usage_of(said | {"completion_tokens": 0}) if isinstance(said, dict) else None, quotas)

    def read(self, body: Mapping[str, JsonValue]) -> tuple[Outcome, str, str]:
        """The vectors in the order of their texts, in base64 whichever way they came: some servers know lists of numbers only."""
        data = [item for item in body["data"] if isinstance(item, dict)] if isinstance(body.get("data"), list) else []  # type: ignore[union-attr]
        in_order = sorted(data, key=lambda item: item["index"] if isinstance(item.get("index"), int) else 0)  # type: ignore[arg-type,return-value]
        try:
            return "valid", json.dumps({"vectors": [_encoded(item.get("embedding"), self.dimension) for item in in_order]}), ""
        except ValueError as error:
            return "invalid", "", str(error)

    def largest(self, request: Request[T]) -> Usage:
        return Usage(input=len(request.input) // 3)


def ask_for_vectors(gateway: "Gateway", dimension: int, texts: Sequence[str]) -> "NDArray[np.float32]":
    """The vectors of `texts`, float32 array (n, dimension), as the endpoint gave them: one request, and one row of the ledger.

    A booked answer of no use is replayed as any other, and would stand in every run's way: it is asked for once more in each run, as a
    generation of the run's own. Blocks until the vectors are there. Raises what the gateway raises, Permanent where that was of no use too.
    """
    import numpy as np

    words = json.dumps(list(texts), ensure_ascii=False)
    request = Request(
        purpose="embedding",
        item=f"texts/{version_of_text(words)}",
        prompt_id="embedding",
        prompt_version=str(dimension),
        instructions="",
        input=words,
        answer=Vectors,
        offline=_never,
    )
    answer = gateway.ask_now(request)
    if _problem(answer, len(texts)):
        anew = replace(gateway, scope=replace(gateway.scope, generation=gateway.scope.run_id or "again"))
        answer = anew.ask_now(request)
    if problem := _problem(answer, len(texts)):
        raise Permanent(f"{answer.model} gave no vectors that can be used: {problem}; PRESSROOM_MODELS names the model and its dimension")
    assert answer.value  # else it has a problem
    rows = [np.frombuffer(base64.b64decode(encoded), dtype="<f4") for encoded in answer.value.vectors]
    return np.array(rows, dtype=np.float32).reshape(len(texts), dimension)


def _problem(answer: Answer[Vectors], expected: int) -> str:
    """Why the answer is of no use; "" when it holds a vector for each text."""
    if answer.value is None:
        return answer.problem or answer.outcome
    came = len(answer.value.vectors)
    return "" if came == expected else f"{came} vectors came for {expected} texts"


def _encoded(embedding: JsonValue, dimension: int) -> str:
    """A vector, given in base64 or as a list of numbers, in base64. Raises ValueError, in one line, for one that is none."""
    import numpy as np

    try:
        if isinstance(embedding, str):
            vector = np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
        else:
            with np.errstate(over="ignore"):  # a number beyond float32 is infinite, which is said below
                vector = np.array(embedding, dtype="<f4")
    except (ValueError, TypeError, OverflowError):
        raise ValueError("something else than vectors came") from None
    if vector.shape != (dimension,):
        raise ValueError(f"a vector of {vector.size} numbers came, expected {dimension}")
    if not np.isfinite(vector).all():
        raise ValueError("a vector came with numbers that are none")
    return base64.b64encode(vector.tobytes()).decode()


def _never() -> Vectors:
    raise AssertionError("vectors are made on this machine without the gateway")
