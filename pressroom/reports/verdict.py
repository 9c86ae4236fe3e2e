"""The verdict on a day: what is there, what is missing, what failed and why, and what waits for a person."""

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import TypeVar

from pressroom.records import DraftState
from pressroom.reports.document import Failure, Need, State
from pressroom.store.reports import CallsFact, DayFacts, DraftFact, RunFact, StepFact
from pressroom.wording import some

MOST_IDEAS = 5
# The report's own step is no part of the day that it reports on.
_OWN = "daily_report"
# Errors come from other people's servers and drivers; this is the last look before one is mailed.
_SECRET = re.compile(r"\b(sk|r8|pk|rk)[-_][\w-]{8,}|\b(?i:bearer|basic)\s+[\w.~+/=-]{8,}|(?<=://)[^\s/@:]*:[^\s/@]*(?=@)")
# What a state asks of an editor: (states, what one draft needs, what several need).
_WAITING: tuple[tuple[tuple[DraftState, ...], str, str], ...] = (
    (("generated",), "draft waits to be read", "drafts wait to be read"),
    (("reviewed", "edited"), "draft is worked through and can be marked ready", "drafts are worked through and can be marked ready"),
    (("ready",), "draft is ready to publish", "drafts are ready to publish"),
)
Told = TypeVar("Told", RunFact, StepFact, CallsFact)


def state_of(facts: DayFacts) -> State:
    """The verdict on a day.

    complete: as many ideas as the site wants (five at most), a draft that is not failed for each idea on each of the site's platforms, no
    step that failed last time it ran, and a newest run that did not fail. failed: the newest run failed. waiting: answers are on their
    way in a batch. partial: anything between.
    """
    runs = content_runs(facts.runs)
    if not runs and not facts.ideas:
        return "nothing ran"
    if runs and _has_failed(runs[-1]):
        return "failed"
    if _batched(facts):
        return "waiting"
    ideas_are_there = facts.site.automation.ideas_per_day <= len(facts.ideas) <= MOST_IDEAS
    drafts_are_there = all(
        set(facts.site.platforms) <= {draft.platform for draft in idea.drafts if draft.state != "failed"} for idea in facts.ideas
    )
    return "complete" if ideas_are_there and drafts_are_there and not _failed_steps(runs) else "partial"


def content_runs(runs: Sequence[RunFact]) -> tuple[RunFact, ...]:
    """The runs that worked on the day's content, oldest first, without the report's own steps and runs.

    A run without any step counts when it failed: it died before its first one.
    """
    found = []
    for run in runs:
        steps = tuple(step for step in run.steps if not is_own(step.asset))
        if steps or (not run.steps and _has_failed(run)):
            broke_on_its_report = len(steps) < len(run.steps) and run.state == "failed" and not _failed_steps([run])
            found.append(run.model_copy(update={"steps": steps} | ({"state": "completed", "error": None} if broke_on_its_report else {})))
    return tuple(sorted(found, key=lambda run: (run.started_at, run.id)))


def is_own(asset: str) -> bool:
    return asset.rsplit("/", 1)[-1] == _OWN


def _has_failed(run: RunFact) -> bool:
    """A running run has not failed: the report may be the last asset of the very run that it reports on."""
    return run.state not in ("completed", "running")


def _failed_steps(runs: Sequence[RunFact]) -> list[StepFact]:
    """Steps that failed the last time they ran."""
    return [step for step in _newest_steps(runs) if step.state == "failed"]


def _newest_steps(runs: Sequence[RunFact]) -> list[StepFact]:
    return list({step.asset: step for run in runs for step in run.steps if not is_own(step.asset)}.values())


def _batched(facts: DayFacts) -> int:
    """How many answers that a step waits for are on their way in a batch."""
    waits = any(step.state == "waiting" for step in _newest_steps(content_runs(facts.runs)))
    return sum(calls.calls for calls in facts.calls if calls.status == "batched") if waits else 0


def _drafts(facts: DayFacts) -> list[DraftFact]:
    return [draft for idea in facts.ideas for draft in idea.drafts]


def headline(facts: DayFacts) -> str:
    state, drafts = state_of(facts), _drafts(facts)
    if state == "nothing ran":
        return "Nothing ran for this day: there are no ideas and no drafts."
    usable = [draft for draft in drafts if draft.state != "failed"]
    if state == "complete":
        broken = sum(any(violation.is_error for violation in draft.version.violations) for draft in drafts)
        kept = "every draft keeps its platform's rules" if not broken else f"{broken} of them {_are(broken)} outside a platform's rules"
        return f"{some(len(facts.ideas), 'idea')} and {some(len(drafts), 'draft')} are there; {kept}."
    wanted = max(len(facts.ideas), facts.site.automation.ideas_per_day)
    there = f"{len(facts.ideas)} of {some(wanted, 'idea')} and {len(usable)} of {some(wanted * len(facts.site.platforms), 'draft')}"
    if state == "partial":
        return f"{there} are there."
    if state == "waiting":
        batched = _batched(facts)
        return f"{there} are there; {some(batched, 'answer')} {_are(batched)} on {'its' if batched == 1 else 'their'} way in a batch."
    steps = _failed_steps(content_runs(facts.runs)[-1:])
    at = f" at {' and '.join(step.asset for step in steps)}" if steps else ""
    return f"The run failed{at}. {there} are there."


def missing(facts: DayFacts, names: Mapping[str, str]) -> tuple[str, ...]:
    """What should be there and is not, in sentences."""
    wanted, there = facts.site.automation.ideas_per_day, len(facts.ideas)
    found = []
    if state_of(facts) == "nothing ran":
        return ()  # the headline has said it
    if there < wanted:
        found.append(f"{wanted - there} of {some(wanted, 'idea')} {_are(wanted - there)} missing")
    if there > MOST_IDEAS:
        found.append(f"{there} ideas stand for the day; {MOST_IDEAS} is the most")
    for slug in facts.site.platforms if there else ():
        without = sum(all(draft.platform != slug for draft in idea.drafts) for idea in facts.ideas)
        if without:
            found.append(f"{without} of {some(there, 'idea')} {'has' if without == 1 else 'have'} no {names.get(slug, slug)} draft")
    return tuple(found)


def failures(facts: DayFacts, names: Mapping[str, str]) -> tuple[Failure, ...]:
    """What failed and was not made good since."""
    runs = content_runs(facts.runs)
    steps = _failed_steps(runs)
    found = [Failure(kind="step", what=step.asset, why=(clean(step.error or "no reason was given"),)) for step in steps]
    if runs and _has_failed(runs[-1]) and not _failed_steps(runs[-1:]):
        found.insert(0, Failure(kind="run", what="the run", why=(clean(runs[-1].error or f"it ended as {runs[-1].state}"),)))
    for place, fact in enumerate(facts.ideas, start=1):
        for draft in fact.drafts:
            if draft.state == "failed":
                why = tuple(violation.message for violation in draft.version.violations) or ("no text came back that could be used",)
                what = f"{names[draft.platform]} draft of idea {place}"
                found.append(Failure(kind="draft", what=what, why=why, target=draft.id))
    told = {reason for failure in found for reason in failure.why}
    for calls in facts.calls:
        reason = clean(calls.error or "no reason was given")
        if calls.status == "failed" and reason not in told:
            found.append(Failure(kind="calls", what=f"{some(calls.calls, 'call')} for {calls.purpose} to {calls.model}", why=(reason,)))
    return tuple(found)


def needs(facts: DayFacts) -> tuple[Need, ...]:
    """What waits for a person, most urgent first."""
    state = state_of(facts)
    again = f"pressroom run {facts.site.slug} --date {facts.day}"
    found = []
    if state == "nothing ran":
        found.append(Need(kind="error", text="Start the day:", command=again))
    elif state == "failed":
        found.append(Need(kind="error", text="Start the day again; what was answered already is not paid again:", command=again))
    elif state == "waiting":
        text = "The day goes on by itself when the batch is collected, within 24 hours. To look for its answers now:"
        found.append(Need(kind="warning", text=text, command="pressroom batches collect"))
    elif missing(facts, {}) or _failed_steps(content_runs(facts.runs)):
        found.append(Need(kind="warning", text="Make what is missing:", command=again))
    waiting: dict[DraftState, list[uuid.UUID]] = {}
    for draft in _drafts(facts):
        waiting.setdefault(draft.state, []).append(draft.id)
    if failed := waiting.get("failed"):
        text = f"{some(len(failed), 'draft')} broke a platform's rules and {'was' if len(failed) == 1 else 'were'} kept for you to edit."
        found.append(Need(kind="error", text=text, targets=tuple(failed)))
    for states, one, many in _WAITING:
        if ids := tuple(id_ for state in states for id_ in waiting.get(state, ())):
            found.append(Need(kind="read", text=f"{len(ids)} {one if len(ids) == 1 else many}.", targets=ids))
    for file in facts.imports:
        if file.rejected:
            were = "was" if len(file.rejected) == 1 else "were"
            found.append(Need(kind="warning", text=f"{some(len(file.rejected), 'row')} of {file.name} {were} left out: see Keywords."))
    return tuple(found)


def clean_error(fact: Told) -> Told:
    return fact.model_copy(update={"error": fact.error and clean(fact.error)})


def clean(text: str, most: int = 500) -> str:
    """One line of at most `most` characters, without what looks like a key or a password."""
    line = _SECRET.sub("***", " ".join(text[: most * 4].split()))
    return line if len(line) <= most else line[: most - 1] + "…"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
