"""Sentence vectors of an endpoint: each text of a site is asked once and kept in the database, beside the space that it belongs to."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from pressroom.errors import Permanent
from pressroom.llm.calibration import calibrate, calibration_set
from pressroom.llm.embeddings import Space, unit
from pressroom.records import Site
from pressroom.store.embeddings import find_space, find_vectors, keep_space, keep_vectors
from pressroom.store.engine import Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# One request for the vectors of these texts, in their order. It blocks, and raises what the gateway raises.
Ask: TypeAlias = Callable[[Sequence[str]], Union[Sequence[Sequence[float]], "NDArray[np.floating[Any]]"]]

# OpenAI takes 2,048 texts and 300,000 tokens a request. No token is shorter than a byte.
MOST_TEXTS, MOST_BYTES = 2048, 250_000


def open_space(name: str, ask: Ask, store: Store) -> Space:
    """The space `name` as the database has it; calibrated through `ask` at first use, and when the calibration set has changed.

    `name` says everything that decides a vector, such as `openai/text-embedding-3-small@512`. The calibration is the house's: `ask` should
    book it to no site. Processes that calibrate at once all get what the first of them kept. Raises Permanent when the endpoint's
    vectors have another dimension than the stored ones.
    """
    stored = store.retrying(lambda session: find_space(session, name))
    if stored is None or stored.calibration != calibration_set().version:
        fresh = calibrate(name, partial(_asked, name, ask))
        stored = store.retrying(lambda session: keep_space(session, **fresh.model_dump()))
        _same_dimension(name, fresh.dimension, stored.dimension)
    return Space(**{field: getattr(stored, field) for field in Space.model_fields})


class HostedEmbedder:
    """The vectors of `space` for one site. Threads may share it."""

    def __init__(self, space: Space, ask: Ask, store: Store, site: Site) -> None:
        self.space = space
        self._ask = ask
        self._store = store
        self._site = site

    def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """As `Embedder.embed`; only texts that the site has no vector of yet are asked, each once.

        Raises Permanent for vectors that are too few, of another dimension or no numbers, and what `ask` raises. What other
        requests of the same call brought stays.
        """
        import numpy as np

        wanted = {_key(text): text for text in texts if text.strip()}
        known = self._store.retrying(lambda session: find_vectors(session, self._site.id, self.space.name, list(wanted)))
        missing = {key: text for key, text in wanted.items() if key not in known}
        for part in _requests(missing.values()):
            found = _asked(self.space.name, self._ask, part)
            _same_dimension(self.space.name, found.shape[1], self.space.dimension)
            fresh = dict(zip(map(_key, part), found, strict=True))
            self._store.retrying(partial(keep_vectors, site=self._site, space=self.space.name, vectors=fresh))
            known |= fresh
        vectors = np.zeros((len(texts), self.space.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            if text.strip():
                vectors[row] = known[_key(text)]
        return vectors


def _asked(name: str, ask: Ask, texts: Sequence[str]) -> "NDArray[np.float32]":
    """The endpoint's vectors of `texts`: float32 array (n, dimension), rows of length 1."""
    import numpy as np

    rows = ask(texts)
    if len(rows) != len(texts):
        raise Permanent(f"embeddings '{name}': {len(rows)} vectors came for {len(texts)} texts")
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or 0 in lengths:
        raise Permanent(f"embeddings '{name}': vectors of {', '.join(map(str, sorted(lengths)))} numbers came in one answer")
    vectors = np.asarray(rows, dtype=np.float32)
    if not np.isfinite(vectors).all():
        raise Permanent(f"embeddings '{name}': a vector came with numbers that are none")
    return unit(vectors)


def _same_dimension(name: str, came: int, stored: int) -> None:
    if came != stored:
        advice = "another model or dimension needs a name of its own"
        raise Permanent(f"embeddings '{name}': vectors of {came} numbers came, the stored ones have {stored}; {advice}")


def _requests(texts: Iterable[str]) -> Iterator[list[str]]:
    """`texts` in parts that one request can carry."""
    part: list[str] = []
    room = MOST_BYTES
    for text in texts:
        size = len(text.encode())
        if part and (len(part) == MOST_TEXTS or size > room):
            yield part
            part, room = [], MOST_BYTES
        part.append(text)
        room -= size
    if part:
        yield part


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
