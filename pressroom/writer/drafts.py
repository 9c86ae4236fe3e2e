"""Drafts: every idea on every platform, all asked for at once, each refined until it keeps its platform's rules."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from pydantic import BaseModel, JsonValue

from pressroom.errors import BadInput, Deferred, Transient
from pressroom.llm.refine import Refined, refine
from pressroom.llm.types import Asks, Request
from pressroom.platforms.base import DraftBrief, Platform
from pressroom.platforms.registry import platforms
from pressroom.prompts.load import Prompt, prompt
from pressroom.records import Draft, DraftVersion, Record, Slug, Violation


class Written(Record):
    """A draft with its first version. `calls` are the request hashes of every round; the version's own call is the one it came from."""

    draft: Draft
    calls: tuple[str, ...]


class Failed(Record):
    """A draft that could not be asked for: no answer came after all tries. A re-run asks for it again."""

    idea_id: uuid.UUID
    platform: Slug
    reason: str


class Awaited(Record):
    """A draft whose answer is on its way in a batch. A run after that is collected writes it."""

    idea_id: uuid.UUID
    platform: Slug
    reason: str


class Drafts(Record):
    """What became of the drafts, in the order of their briefs."""

    written: tuple[Written, ...]
    failed: tuple[Failed, ...]
    awaited: tuple[Awaited, ...] = ()

    @property
    def drafts(self) -> tuple[Draft, ...]:
        return tuple(written.draft for written in self.written)


Save = Callable[[Written], Awaitable[None]]


def warm_up() -> None:
    """Loads what the first draft needs beside its answer: prompts and rules, 0.7 s in which no answer need wait."""
    for platform in platforms().values():
        prompt(platform.prompt).warm_up()
        with suppress(BadInput):  # one sentence is not a draft of every platform
            platform.check(platform.parts_of("One sentence."))


async def write_drafts(briefs: Iterable[tuple[DraftBrief, Platform]], gateway: Asks, save: Save) -> Drafts:
    """Writes all drafts together; the gateway limits how many calls are in flight.

    Each draft is handed to `save` as soon as it is finished. One that gets no answer is in `failed`, one
    whose answer waits in a batch in `awaited`, and the others go on; when none gets an answer, its Transient is raised. Any other error
    ends all of them: what is not finished is cancelled, what is finished is saved, and the error is raised.
    """
    outages: list[Transient] = []

    async def write(brief: DraftBrief, platform: Platform) -> Written | Failed | Awaited:
        try:
            written = await write_draft(brief, platform, gateway)
        except Transient as outage:
            outages.append(outage)
            return Failed(idea_id=brief.idea.id, platform=platform.slug, reason=str(outage))
        except Deferred as deferred:
            return Awaited(idea_id=brief.idea.id, platform=platform.slug, reason=str(deferred))
        await _to_the_end(save(written))
        return written

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(write(brief, platform)) for brief, platform in briefs]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    if outages and len(outages) == len(tasks):
        raise outages[0]
    results = [task.result() for task in tasks]
    return Drafts(
        written=tuple(result for result in results if isinstance(result, Written)),
        failed=tuple(result for result in results if isinstance(result, Failed)),
        awaited=tuple(result for result in results if isinstance(result, Awaited)),
    )


async def write_draft(brief: DraftBrief, platform: Platform, gateway: Asks, variant: Prompt | None = None) -> Written:
    """One draft, its broken rules sent back to the model up to three times. What is wrong then stays with it, in the state failed.

    A `variant` is asked instead of the house's prompt.
    """
    request = first_request(brief, platform, variant)
    refined = await refine(gateway, request, lambda answer: platform.check(_parts(answer)).violations)
    answer = refined.answer
    parts = _parts(answer.value) if answer.value else {}
    version = DraftVersion(
        number=1,
        origin="ai",
        text=platform.render(parts) if answer.value else "",
        parts=parts,
        violations=(refined.violations if answer.value else (_no_draft(refined),)) + _stopped(refined),
        prompt_version=request.prompt_version,
        call=answer.call,
        model=answer.model,
    )
    draft = Draft(
        id=Draft.id_for(brief.idea.id, platform.slug),
        idea_id=brief.idea.id,
        platform=platform.slug,
        state="generated" if refined.passes else "failed",
        version=version,
    )
    return Written(draft=draft, calls=refined.calls)


def first_request(brief: DraftBrief, platform: Platform, variant: Prompt | None = None) -> Request[BaseModel]:
    """What is asked first for a draft of the idea. A `variant` is asked instead of the house's prompt."""
    return (variant or prompt(platform.prompt)).request(
        item=f"{brief.idea.id}/{platform.slug}",
        variables={"site": brief.site, "idea": brief.idea, "keywords": brief.keywords, "rules": platform.rules()},
        answer=platform.structure,
        offline=lambda: platform.compose(brief),
    )


def _parts(answer: BaseModel) -> dict[str, JsonValue]:
    return answer.model_dump(mode="json")


def _no_draft(refined: Refined[BaseModel]) -> Violation:
    """Why there is no text at all: the model refused, or never answered in the platform's structure."""
    answer = refined.answer
    tries = len(refined.answers)
    message = f"There is no draft after {tries} {'try' if tries == 1 else 'tries'}: {answer.problem or answer.outcome}."
    return Violation(code="no_draft", severity="error", measured=answer.outcome, limit="valid", message=message)


def _stopped(refined: Refined[BaseModel]) -> tuple[Violation, ...]:
    """Why the model was not asked to mend what is wrong, where money was the reason."""
    if not refined.stopped:
        return ()
    message = f"Not refined further: {refined.stopped}."
    return (Violation(code="budget", severity="warning", measured=len(refined.answers), limit=None, message=message),)


async def _to_the_end(work: Awaitable[None]) -> None:
    """Does `work` even when the task that waits for it is cancelled: a finished draft is not lost because another one failed."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
