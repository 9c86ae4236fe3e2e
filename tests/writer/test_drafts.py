"""The drafts loop: all at once, each refined by its platform's rules, one failure alone, what is finished kept."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest
from pydantic import BaseModel

from pressroom.errors import Deferred, OverBudget, Permanent, Transient
from pressroom.llm.types import Request
from pressroom.platforms.base import DraftBrief, Platform
from pressroom.platforms.registry import platform, platforms
from pressroom.platforms.x import XPosts
from pressroom.records import Draft
from pressroom.store.content import drafts_on, save_drafts, save_ideas
from pressroom.store.engine import Store
from pressroom.store.grouped import Grouped
from pressroom.writer.drafts import Drafts, Failed, Written, write_draft, write_drafts
from simulators.openai import OpenAISimulator
from tests.asking import Scripted, gateway_of
from tests.planner.idea_calendar import coffee_brief, coffee_clusters, propose
from tests.samples import call_booked

LONG = "word " * 70
ALL = tuple(platforms().values())


@cache
def briefs(ideas: int = 3) -> list[DraftBrief]:
    brief = coffee_brief(max(3, ideas))
    _, keywords = coffee_clusters()
    known = {keyword.normalised: keyword for keyword in keywords}
    return [
        DraftBrief(site=brief.site, idea=idea, keywords=tuple(known[phrase] for phrase in idea.keywords))
        for idea in propose(brief).ideas[:ideas]
    ]


def on(*slugs: str, ideas: int = 3) -> list[tuple[DraftBrief, Platform]]:
    return [(brief, platform(slug)) for brief in briefs(ideas) for slug in slugs]


def write(work: list[tuple[DraftBrief, Platform]], asks: Any, save: Callable[[Written], Any] = lambda _: None) -> Drafts:
    return asyncio.run(write_drafts(work, asks, each(save)))


def each(save: Callable[[Written], Any]) -> Grouped[Written, Any]:
    """Saves that come together, one by one."""
    return Grouped(lambda group: [save(written) for written in group])


def posts(*texts: str) -> XPosts:
    return XPosts(posts=list(texts))


def test_every_idea_gets_a_draft_within_the_rules_on_every_platform() -> None:
    saved: list[Written] = []
    work = [(brief, each) for brief in briefs() for each in ALL]
    drafts = write(work, Scripted(), saved.append)
    assert [(one.draft.idea_id, one.draft.platform) for one in drafts.written] == [(brief.idea.id, each.slug) for brief, each in work]
    assert drafts.failed == ()
    assert sorted(saved, key=str) == sorted(drafts.written, key=str)
    for written, (brief, each) in zip(drafts.written, work, strict=True):
        version = written.draft.version
        assert written.draft.id == Draft.id_for(brief.idea.id, each.slug)
        assert (written.draft.state, version.number, version.origin, version.model) == ("generated", 1, "ai", "offline")
        assert version.text == each.render(version.parts)
        assert each.check(version.parts).ok
        assert (version.call,) == written.calls


def test_a_broken_rule_goes_back_and_the_mended_answer_is_the_draft() -> None:
    asks = Scripted(lambda number, _: posts(LONG) if number == 1 else posts("Short and true."))
    written = write(on("x", ideas=1), asks).written[0]
    assert (written.draft.state, written.draft.version.text, written.draft.version.violations) == ("generated", "Short and true.", ())
    assert len(written.calls) == 2
    assert written.draft.version.call == written.calls[1], "the version points to the answer that it came from"
    assert "weighted_length" in asks.requests[1].input


def test_a_draft_that_stays_wrong_is_kept_whole_with_what_is_wrong() -> None:
    asks = Scripted(lambda number, _: posts(LONG + str(number)))
    written = write(on("x", ideas=1), asks).written[0]
    assert (written.draft.state, len(written.calls)) == ("failed", 4)
    assert written.draft.version.text.startswith(LONG), "nothing is silently cut"
    assert [violation.code for violation in written.draft.version.violations] == ["weighted_length"]


def test_a_warning_stays_with_a_draft_that_passes() -> None:
    handshakes = "Coffee first. " + "🫱🏻‍🫲🏿" * 35  # a newer emoji sequence: 2 on X today, 9 where it is not known
    written = write(on("x", ideas=1), Scripted(lambda *_: posts(handshakes))).written[0]
    assert written.draft.state == "generated"
    assert [violation.severity for violation in written.draft.version.violations] == ["warning"]


def test_a_draft_that_the_model_refuses_is_failed_and_says_so() -> None:
    written = write(on("x", ideas=1), Scripted(lambda *_: "refusal")).written[0]
    assert (written.draft.state, written.draft.version.text, written.draft.version.parts) == ("failed", "", {})
    (violation,) = written.draft.version.violations
    assert (violation.code, violation.measured) == ("no_draft", "refusal")
    assert violation.message == "There is no draft after 4 tries: the model ended with refusal."
    assert len(set(written.calls)) == 4


def test_drafts_that_wait_for_a_batch_are_named_and_the_others_saved() -> None:
    work = on("x")
    waits = {f"{brief.idea.id}/x" for brief, _ in work[1:]}
    saved: list[Written] = []
    drafts = write(work, Scripted(lambda _, request: Deferred("in batch 7") if request.item in waits else request.offline()), saved.append)
    assert ([one.draft.idea_id for one in saved], drafts.failed) == ([work[0][0].idea.id], ())
    assert [(each.idea_id, each.reason) for each in drafts.awaited] == [(brief.idea.id, "in batch 7") for brief, _ in work[1:]]
    nothing = write(work[1:], Scripted(lambda *_: Deferred("in batch 7")))
    assert (nothing.written, len(nothing.awaited)) == ((), 2), "to wait is no outage"


def test_one_draft_without_an_answer_leaves_the_others_saved() -> None:
    work = on("x", "linkedin")
    unlucky = f"{work[2][0].idea.id}/x"
    saved: list[Written] = []

    def script(_: int, request: Request[Any]) -> Any:
        return Transient("no answer within 30 s") if request.item == unlucky else request.offline()

    drafts = write(work, Scripted(script), saved.append)
    assert drafts.failed == (Failed(idea_id=work[2][0].idea.id, platform="x", reason="no answer within 30 s"),)
    assert len(drafts.written) == len(saved) == 5


def test_when_no_draft_gets_an_answer_the_outage_is_raised() -> None:
    """An outage of the endpoint is an outage: five failed drafts and a green run would hide it."""
    with pytest.raises(Transient, match="connection refused") as caught:
        write(on("x"), Scripted(lambda *_: Transient("connection refused", retry_after=7)))
    assert caught.value.retry_after == 7


def test_nothing_to_write_is_no_outage() -> None:
    assert write([], Scripted()) == Drafts(written=(), failed=())


class Slow:
    """Answers offline: the first request at once, those after it when a minute is over; one of them fails for good after `after` s."""

    def __init__(self, error: Exception, *, after: float = 0.1) -> None:
        self.error = error
        self.after = after
        self.asked = 0
        self.cancelled = 0

    async def ask(self, request: Request[Any]) -> Any:
        self.asked += 1
        number = self.asked
        if number == 1:
            return await Scripted().ask(request)
        if number == 2:
            await asyncio.sleep(self.after)
            raise self.error
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


@pytest.mark.parametrize("error", [Permanent("wrong key"), OverBudget("1.00 USD are spent")])
def test_an_error_that_concerns_all_stops_all_and_what_is_finished_is_saved(error: Exception) -> None:
    """The save of the first draft takes longer than the second one needs to fail: it is finished all the same."""
    saved: list[Written] = []

    def save(written: Written) -> None:
        time.sleep(0.3)
        saved.append(written)

    asks = Slow(error)
    with pytest.raises(type(error), match=str(error)):
        write(on("x", "linkedin"), asks, save)
    assert (asks.asked, asks.cancelled, len(saved)) == (6, 4, 1)


def test_a_run_that_is_cancelled_keeps_the_draft_that_is_being_saved() -> None:
    saved: list[Written] = []
    saving = threading.Event()

    def save(written: Written) -> None:
        saving.set()
        time.sleep(0.3)
        saved.append(written)

    work = on("x", "linkedin")

    async def cancelled() -> None:
        task = asyncio.create_task(write_drafts(work, Slow(Permanent("never"), after=60), each(save)))
        await asyncio.to_thread(saving.wait)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert len(saved) == 1


def test_a_save_that_fails_is_not_taken_for_a_draft_that_failed() -> None:
    def save(_: Written) -> None:
        raise Transient("the database does not answer")

    with pytest.raises(Transient, match="the database does not answer"):
        write(on("x"), Scripted(), save)


def test_drafts_are_saved_one_at_a_time_and_beside_the_event_loop() -> None:
    busy: list[str] = []
    most: list[int] = []

    def save(_: Written) -> None:
        busy.append(threading.current_thread().name)
        most.append(len(busy))
        time.sleep(0.01)
        busy.pop()
        assert threading.current_thread() is not threading.main_thread()

    write(on("x", "linkedin"), Scripted(), save)
    assert most == [1] * 6


def test_fifteen_drafts_take_as_long_as_one_and_a_rerun_asks_for_none(store: Store) -> None:
    """The hosted path: the real SDK, the simulated endpoint with 0.5 s of latency, the real ledger and the real rows."""
    work = [(brief, each) for brief in briefs(5) for each in ALL]
    site = work[0][0].site
    composed: dict[str, BaseModel] = {f"{each.structure.__name__}{brief.idea.title}": each.compose(brief) for brief, each in work}

    def say(asked: Any) -> Any:
        return next(
            (answer.model_dump() for key, answer in composed.items() if key.startswith(asked.schema_name) and _title(key, asked)), None
        )

    def _title(key: str, asked: Any) -> bool:
        return key.removeprefix(asked.schema_name) in asked.input

    with OpenAISimulator(latency=0.5, answers=say) as simulator, gateway_of(store, site, simulator) as gateway:
        ideas = [brief.idea for brief in briefs(5)]
        with store.transaction() as session:
            call_booked(session, ideas[0].call, site)
            save_ideas(session, site, coffee_brief().day, ideas, run_id="run-1")

        def save_all(group: Sequence[Written]) -> None:
            with store.transaction() as session:
                save_drafts(session, site, [written.draft for written in group], run_id="run-1")

        save = Grouped(save_all)

        asyncio.run(write_drafts(work[:1], gateway, save))  # loads the SDK, which is no part of the measure
        start = time.perf_counter()
        first = asyncio.run(write_drafts(work, gateway, save))
        took = time.perf_counter() - start
        assert simulator.most_in_flight == 14
        assert took < 4, f"14 calls of 0.5 s took {took:.1f} s: one after the other they take 7"
        second = asyncio.run(write_drafts(work, gateway, save))
        assert (simulator.count, simulator.paid_twice) == (15, 0)
    assert (len(first.written), first.failed) == (15, ())
    assert first == second
    with store.transaction() as session:
        rows = drafts_on(session, site.id, coffee_brief().day)
    assert {row.id: row.version.text for row in rows} == {one.draft.id: one.draft.version.text for one in first.written}


def test_an_endpoint_that_fails_for_one_draft_loses_one_draft(store: Store) -> None:
    work = on("x")
    with OpenAISimulator(answers=lambda _: {"posts": ["One thought, well put."]}) as simulator:
        simulator.fail("500", times=None, containing=work[1][0].idea.title)
        simulator.fail("refusal", times=None, containing=work[2][0].idea.title)
        with gateway_of(store, work[0][0].site, simulator) as gateway:
            drafts = asyncio.run(write_drafts(work, gateway, each(lambda _: None)))
    assert [(one.idea_id, one.platform) for one in drafts.failed] == [(work[1][0].idea.id, "x")]
    assert [one.draft.state for one in drafts.written] == ["generated", "failed"]
    assert drafts.written[1].draft.version.violations[0].code == "no_draft"


def test_one_draft_can_be_asked_for_alone() -> None:
    brief = briefs(1)[0]
    written = asyncio.run(write_draft(brief, platform("instagram"), Scripted()))
    assert written == write([(brief, platform("instagram"))], Scripted()).written[0]
