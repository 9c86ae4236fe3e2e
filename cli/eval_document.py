"""What `pressroom eval` found, for a script."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pressroom.evaluation.scores import Scores


def document_of(scores: "Sequence[Scores]") -> dict[str, Any]:
    """One prompt: its versions with every case, and of two versions the differences. Money is a number of USD."""
    from pressroom.evaluation.scores import difference, measures_of

    differences = {measure.name: difference(measure, *scores).model_dump() for measure in measures_of(scores) if len(scores) == 2}
    return {"prompt": scores[0].prompt, "versions": [_version(each) for each in scores], "difference": differences or None}


def _version(scores: "Scores") -> dict[str, Any]:
    plain = scores.model_dump(mode="json", exclude={"prompt"})
    plain["repeats"] |= {"rate": scores.repeats.rate}
    for result, shown in zip(scores.results, plain["results"], strict=True):
        shown |= {"passes_first": result.passes_first, "refinements": result.refinements}
        for answer, each in zip(result.answers, shown["answers"], strict=True):
            each["cost_usd"] = _number(answer.cost_usd)
    return plain | {"cost_usd": _number(scores.cost_usd), "spent_usd": _number(scores.spent_usd)}


def _number(cost: Decimal | None) -> float | None:
    return None if cost is None else float(cost)
