"""Asking until the answer keeps the rules: what is wrong goes back to the model, a few times at most."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from pydantic_core import to_jsonable_python

from pressroom.errors import OverBudget
from pressroom.llm.blocks import data
from pressroom.llm.types import Answer, Asks, Request, T
from pressroom.records import Violation

LONGEST_PART = 6_000  # characters of an offending part that go back: a long post is 3,000


@dataclass(frozen=True)
class Refined(Generic[T]):
    """The best of the answers, what is still wrong with it, and all answers in order.

    `answer.value` is None when no answer could be used. `rounds` counts the refinements: 0 when the first answer was right.
    `stopped` says why no further one was asked for, where the money for it was not there.
    """

    answer: Answer[T]
    violations: tuple[Violation, ...]
    answers: tuple[Answer[T], ...]
    stopped: str = ""

    @property
    def rounds(self) -> int:
        return len(self.answers) - 1

    @property
    def calls(self) -> tuple[str, ...]:
        """Request hashes of all answers, in order."""
        return tuple(answer.call for answer in self.answers)

    @property
    def passes(self) -> bool:
        return self.answer.value is not None and not _errors(self.violations)


async def refine(gateway: Asks, request: Request[T], check: Callable[[T], Sequence[Violation]], *, rounds: int = 3) -> Refined[T]:
    """The first answer without an error among its violations, or after `rounds` refinements the one with the fewest.

    A refinement asks the same request again, with the violations and the parts they are about after its input; a request that was
    refused, cut off or answered out of shape is told so, and never shown a broken answer. What the endpoint's filter held back is not
    asked again. Each round is a request of its own in the ledger, made of the ones before only: a re-run replays every round.
    A budget that is reached ends the rounds: what they brought stays. Raises what the gateway raises, OverBudget for the first round only.
    """
    tried: list[tuple[Answer[T], tuple[Violation, ...]]] = []
    asked, stopped = request, ""
    while True:
        try:
            answer = await gateway.ask(asked)
        except OverBudget as error:
            if not tried:
                raise
            stopped = str(error)
            break
        violations = () if answer.value is None else tuple(check(answer.value))
        tried.append((answer, violations))
        is_right = answer.value is not None and not _errors(violations)
        if is_right or answer.outcome == "filtered" or len(tried) > rounds:
            break
        # The number makes two rounds with the same problem two requests: else the second would replay the first.
        heading = f"This is attempt {len(tried) + 1}."
        asked = dataclasses.replace(request, input=f"{request.input}\n\n{heading} {_complaint(answer, violations)}")
    best, remaining = min(reversed(tried), key=lambda each: (each[0].value is None, len(_errors(each[1]))))
    return Refined(best, remaining, tuple(answer for answer, _ in tried), stopped)


def _complaint(answer: Answer[T], violations: Sequence[Violation]) -> str:
    if answer.value is None:
        shorter = "\n\nAnswer more briefly, and completely." if answer.outcome == "incomplete" else ""
        return f"The last answer could not be used:\n\n{data(answer.problem, 'problem')}{shorter}"
    # As the answer came, not as Pydantic would write it: names and places are those that the model knows.
    said = to_jsonable_python(answer.value, by_alias=True)
    broken = [each.model_dump(mode="json", exclude={"severity"}) for each in violations]
    parts = {each.part or "": _shown(said, each.part) for each in violations}
    return (
        "The last answer broke the rules below. Answer anew and completely: mend exactly what they name, keep what they do not.\n\n"
        f"{data(broken, 'broken-rules')}\n\n{data(parts, 'offending-parts')}"
    )


def _shown(said: Any, part: str | None) -> Any:
    """The part of the answer at a path such as `posts[1].text`, all of it without a path that leads somewhere; long text is left out."""
    found = said
    for name, place in re.findall(r"([^.\[\]]+)|\[(\d+)\]", part or ""):
        if name and isinstance(found, dict) and name in found:
            found = found[name]
        elif place and isinstance(found, list) and int(place) < len(found):
            found = found[int(place)]
        else:
            found = said
            break
    return found if len(str(found)) <= LONGEST_PART else f"(too long to repeat: {len(str(found)):,} characters)"


def _errors(violations: Sequence[Violation]) -> list[Violation]:
    return [each for each in violations if each.is_error]
