"""The topic memory: which titles are taken, and how near an idea comes to one that was proposed before."""

import re
import unicodedata
import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pressroom.llm.embeddings import Embedder, OnDevice
from pressroom.records import Idea

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|approx|dr|mr|mrs|ms|st|a\.m|p\.m)\.(?=\s+\S)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s|$)|[。！？]+")


class Nearest(NamedTuple):
    """The most similar idea so far and the cosine similarity to it; `id` is None where there is none yet."""

    id: uuid.UUID | None
    similarity: float


class TopicMemory:
    """Titles and vectors of every idea so far: the memory's and, as they are accepted, the batch's own.

    `repeat` is the cosine from which on two ideas are the same.
    """

    def __init__(self, ideas: Iterable[Idea], embedder: Embedder = OnDevice()) -> None:
        known = list(ideas)
        self.repeat = embedder.space.repeat
        self._embedder = embedder
        self._ids: list[uuid.UUID | None] = [idea.id for idea in known]
        self._titles = {title_key(idea.title) for idea in known}
        self._vectors = self.vectors_of([(idea.title, idea.description) for idea in known])

    def copy(self) -> "TopicMemory":
        twin = TopicMemory((), self._embedder)
        twin._ids, twin._titles, twin._vectors = list(self._ids), set(self._titles), self._vectors
        return twin

    def has_title(self, title: str) -> bool:
        return title_key(title) in self._titles

    def vectors_of(self, texts: Sequence[tuple[str, str]]) -> "NDArray[np.float32]":
        """The vectors of these titles and descriptions, float32 array (n, dimension). All at once: a hosted call is a round trip."""
        return self._embedder.embed([about(*text) for text in texts])

    def nearest(self, vectors: "NDArray[np.float32]") -> list[Nearest]:
        """The idea that comes nearest to each of `vectors`. Similarity is rounded to four digits, beyond which machines differ."""
        if not self._ids:
            return [Nearest(None, 0.0)] * len(vectors)
        table = (vectors @ self._vectors.T).round(4)
        return [Nearest(self._ids[int(row.argmax())], round(float(row.max()), 4)) for row in table]

    def add(self, title: str, vector: "NDArray[np.float32]", id: uuid.UUID | None = None) -> None:
        import numpy as np

        self._ids.append(id)
        self._titles.add(title_key(title))
        self._vectors = np.vstack((self._vectors, vector))


def about(title: str, description: str) -> str:
    """The text whose vector stands for an idea."""
    return f"{title}. {description}"


def title_key(title: str) -> str:
    """Two titles with the same key are the same title: case, punctuation and spacing do not count."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", title).casefold()))


def count_sentences(text: str) -> int:
    """Sentences in `text`. An abbreviation and a decimal point end none; text after the last full stop counts as one."""
    plain = _ABBREVIATION.sub(lambda found: found[0].replace(".", ""), text.strip())
    ends = [found.end() for found in _SENTENCE_END.finditer(plain)]
    return len(ends) + bool(plain[ends[-1] if ends else 0 :].strip())
