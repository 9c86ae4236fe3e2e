"""What cosines mean in a space of vectors, measured on phrases and ideas that were written for it (calibration.yaml)."""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pressroom.errors import Permanent
from pressroom.llm.embeddings import Space
from pressroom.records import Record, version_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Embed = Callable[[Sequence[str]], NDArray[np.float32]]


class Shares(Record):
    """The share of pairs that stays below a threshold."""

    related: float
    repeat: float


class IdeaGroup(Record):
    """Ideas for the same keywords: one, the same point in other words, and other points."""

    idea: str
    again: str
    others: tuple[str, ...]


class CalibrationSet(Record):
    """Phrases by field, and groups of ideas."""

    below: Shares
    phrases: dict[str, tuple[str, ...]]
    ideas: tuple[IdeaGroup, ...]

    @property
    def version(self) -> str:
        return version_of([self])

    @property
    def texts(self) -> list[str]:
        """Every phrase, then every idea."""
        phrases = [phrase for field in self.phrases.values() for phrase in field]
        return phrases + [text for group in self.ideas for text in (group.idea, group.again, *group.others)]


class Cosines(NamedTuple):
    """The cosines of pairs, float32 arrays: phrases of different fields, ideas that repeat each other, ideas that do not."""

    apart: "NDArray[np.float32]"
    repeats: "NDArray[np.float32]"
    honest: "NDArray[np.float32]"


@cache
def calibration_set() -> CalibrationSet:
    import yaml

    return CalibrationSet.model_validate(yaml.safe_load(Path(__file__).with_name("calibration.yaml").read_text(encoding="utf-8")))


def calibrate(name: str, embed: "Embed") -> Space:
    """The space `name` of the vectors that `embed` makes, calibrated: one call, of the whole set.

    Of phrases of unrelated fields 99 in 100 pairs are less alike than `related`. Of ideas that make different points 95 in 100 pairs
    are less alike than `repeat`: a wrong alarm costs one more question to a model, a repeat that gets through costs an editor's time,
    and no threshold has neither. Raises Permanent for vectors that do not tell subjects apart.
    """
    import numpy as np

    known = calibration_set()
    vectors = embed(known.texts)
    cosines = cosines_of(vectors)
    related = round(float(np.quantile(cosines.apart, known.below.related)), 2)
    repeat = round(float(np.quantile(cosines.honest, known.below.repeat)), 2)
    if not 0 < related < repeat < 1:
        raise Permanent(f"embeddings '{name}' do not tell subjects apart: unrelated phrases {related}, different ideas {repeat}")
    return Space(name=name, dimension=vectors.shape[1], related=related, repeat=repeat, calibration=known.version)


def cosines_of(vectors: "NDArray[np.float32]") -> Cosines:
    """The cosines of the set's pairs; `vectors` are those of its texts, in their order, each of length 1."""
    import numpy as np

    known = calibration_set()
    table = vectors @ vectors.T
    fields = np.repeat(np.arange(len(known.phrases)), [len(field) for field in known.phrases.values()])
    count, row = len(fields), len(fields)
    repeats, honest = [], []
    for group in known.ideas:
        size = 2 + len(group.others)
        pairs = combinations(range(row, row + size), 2)  # the first of them is the idea and its paraphrase
        repeats.append(table[next(pairs)])
        honest += [table[pair] for pair in pairs]
        row += size
    return Cosines(table[:count, :count][fields[:, None] < fields], np.array(repeats), np.array(honest))
