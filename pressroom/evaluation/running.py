"""Running versions of prompts over their cases, all together, through the gateway."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar, get_args

from pressroom.errors import BadInput
from pressroom.evaluation.cases import Case, CaseResult
from pressroom.evaluation.scores import Scores, scores_of
from pressroom.llm.models import ModelRoutes, PurposeModel, model_table
from pressroom.llm.prices import price_table
from pressroom.llm.types import Asks, Routes
from pressroom.platforms.weighted import weighted_length
from pressroom.prompts.load import Prompt, PromptPurpose
from pressroom.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True)
class Evaluation:
    """A prompt's versions, the house's first, and the cases that each is asked about."""

    versions: tuple[Prompt, ...]
    cases: tuple[Case, ...]

    @property
    def size(self) -> int:
        return len(self.versions) * len(self.cases)

    def check(self) -> None:
        """Renders every first request. Raises BadInput that names what a version lacks, before anything is asked or paid."""
        for version in self.versions:
            for case in self.cases:
                case.first_request(version)


async def run(
    evaluations: Sequence[Evaluation],
    gateway: Asks,
    *,
    in_flight: int,
    item_limit_usd: Decimal | None = None,
    on_case: Callable[[], None] = lambda: None,
) -> list[tuple[Scores, ...]]:
    """The scores of each evaluation's versions. `on_case` is called after each case.

    Everything is asked together, `in_flight` calls at most. A case whose answers cost `item_limit_usd` is asked no further and does not
    pass: they are booked, and would end every later evaluation too. The first error ends all of it: figures with holes would be compared
    as if they had none, and what was answered is in the ledger, free for the next run. Raises what the gateway raises.
    """
    slots = asyncio.Semaphore(in_flight)

    async def one(case: Case, version: Prompt) -> CaseResult:
        result = await case.run(gateway, version, slots, item_limit_usd)
        on_case()
        return result

    async def scored(evaluation: Evaluation) -> tuple[Scores, ...]:
        # The versions of a case in turn: what is slow at first, a new connection, is slow for all of them.
        results = await together(one(case, version) for case in evaluation.cases for version in evaluation.versions)
        versions = len(evaluation.versions)
        return tuple(scores_of(version, results[first::versions]) for first, version in enumerate(evaluation.versions))

    return await together(map(scored, evaluations))


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What each of them returns, in their order. The first error ends the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in coroutines]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def warm_up(routes: Routes) -> None:
    """Loads what the first answers need: the 0.9 s of the SDK and the second of X's tables are no time of an answer."""
    for provider in routes.providers():
        provider.warm_up()
    weighted_length("")


def routes_for(settings: Settings, model: str | None = None) -> ModelRoutes:
    """The models of the settings, or `model` in place of each. Nobody stands in: an evaluation of two models would be one of neither."""
    if model and settings.llm_kind == "offline":
        raise BadInput(f"--model {model}: PRESSROOM_LLM is offline, no model is asked; set OPENAI_API_KEY")
    price_table(settings.prices)  # a bad one is said now, not when the first answer is paid
    table = model_table(settings.models)
    change: dict[str, object] = {"fallback": ()} | ({"model": model, "reasoning": None} if model else {})
    alone = {purpose: table.purposes.get(purpose, PurposeModel()).model_copy(update=change) for purpose in get_args(PromptPurpose)}
    chosen_by = "--model" if model else "PRESSROOM_MODELS"
    return ModelRoutes(table.model_copy(update={"purposes": table.purposes | alone}), settings, chosen_by=chosen_by)
