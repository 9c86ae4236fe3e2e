"""Drafts written without a model: within the rules whatever the brief says, and another text for another idea."""

import itertools

import pytest
from hypothesis import given, settings

from pressroom.platforms.base import DraftBrief, Platform
from pressroom.platforms.registry import platforms
from tests.platforms.briefs import a_brief, briefs

EACH = pytest.mark.parametrize("platform", platforms().values(), ids=list(platforms()))
PHRASES = ("espresso machine cost", "how to descale an espresso machine", "best espresso machine", "espresso machine vs moka pot")


def text_of(platform: Platform, brief: DraftBrief) -> str:
    return platform.render(platform.compose(brief).model_dump())


@EACH
@given(brief=briefs())
@settings(max_examples=40, deadline=None)
def test_a_draft_keeps_every_rule_whatever_the_brief_says(platform: Platform, brief: DraftBrief) -> None:
    checked = platform.check(platform.compose(brief).model_dump())
    assert checked.ok, f"an offline draft would be marked failed: {checked.violations}"


@EACH
@given(brief=briefs())
@settings(max_examples=20, deadline=None)
def test_a_composed_draft_reads_back_from_its_text(platform: Platform, brief: DraftBrief) -> None:
    parts = platform.compose(brief).model_dump()
    assert platform.parts_of(platform.render(parts)) == parts


@EACH
def test_usual_briefs_give_drafts_without_a_warning(platform: Platform) -> None:
    """One to four keywords, 25 ideas each: nothing for an editor to be told."""
    found = [
        (number, violation.message)
        for count, number in itertools.product(range(1, 5), range(25))
        for violation in platform.check(platform.compose(a_brief(*PHRASES[:count], number=number)).model_dump()).violations
    ]
    assert found == []


@EACH
def test_the_same_idea_is_the_same_draft(platform: Platform) -> None:
    assert text_of(platform, a_brief(*PHRASES)) == text_of(platform, a_brief(*PHRASES))


@EACH
def test_another_idea_on_the_same_keywords_is_another_draft(platform: Platform) -> None:
    """Five ideas a day must not read as one text five times, not even where they share every keyword."""
    texts = [text_of(platform, a_brief(*PHRASES, number=number)) for number in range(12)]
    drafts = [
        {line for line in text.split("\n") if line and not line.isupper() and line[0] not in "#["} for text in texts
    ]  # no headings, tags
    shared = [len(one & other) / min(len(one), len(other)) for one, other in itertools.combinations(drafts, 2)]
    assert max(shared) < 0.8, "two drafts share four lines of five"
    assert sum(shared) / len(shared) < 0.4, "drafts of different ideas share too many lines"


@EACH
def test_a_draft_speaks_of_its_keywords(platform: Platform) -> None:
    told = [text_of(platform, a_brief(*PHRASES, number=number)) for number in range(20)]
    assert all("espresso machine" in text.lower() for text in told)


@EACH
def test_a_draft_names_no_figure_that_the_brief_does_not_hold(platform: Platform) -> None:
    for number in range(40):
        text = text_of(platform, a_brief(*PHRASES, number=number, volume=9753))
        lines = [line for line in text.split("\n") if not line.startswith("[")]  # the marks of a thread
        bare = " ".join(line[2:] if line[:3] in ("1. ", "2. ", "3. ") else line for line in lines)
        assert not set(filter(str.isdigit, bare.replace("9,753", ""))), bare
