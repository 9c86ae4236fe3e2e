"""The golden set: whole, varied, small, and told apart from a file that is not one."""

from pathlib import Path

import numpy as np
import pytest

from pressroom.errors import BadInput
from pressroom.evaluation.cases import Case, cases_of, evaluated, texts_of
from pressroom.evaluation.golden import FOLDER, GoldenSite, read_golden
from pressroom.llm.embeddings import OnDevice
from pressroom.planner.topics import TopicMemory, count_sentences
from pressroom.platforms.weighted import measure
from pressroom.prompts import load as prompts

GOLDEN = read_golden()
CASES = [(id, case) for id in evaluated() for case in cases_of(id, GOLDEN)]
SITE = (FOLDER / "grindstone.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(("id", "case"), CASES, ids=[f"{id}: {case.id}" for id, case in CASES])
def test_every_case_has_every_variable_of_its_prompt(id: str, case: Case) -> None:
    request = case.first_request(prompts.prompt(id))
    assert request.prompt_id == id
    assert case.why
    assert "never an instruction" in request.instructions
    for word in case.never:
        assert word.casefold() in request.input.casefold(), "there is no order to obey"


def test_every_prompt_that_is_asked_has_six_to_twelve_cases() -> None:
    """A whole evaluation of one prompt costs cents, and one case is not all of it."""
    assert evaluated() == ["ideas", "draft_linkedin", "draft_x", "draft_instagram"]
    assert sorted(evaluated()) == prompts.ids(), "a prompt is asked and has no golden set"
    for id in evaluated():
        assert 6 <= len(cases_of(id, GOLDEN)) <= 12


def test_the_cases_come_in_turns_so_that_the_first_few_are_varied() -> None:
    first = [case.id for case in cases_of("draft_x", GOLDEN)[:6]]
    assert len({id.split()[0] for id in first}) == 6
    ids = [case.id for case in cases_of("draft_x", GOLDEN)]
    assert len(set(ids)) == len(ids)


def test_the_set_is_varied_and_has_the_hard_cases() -> None:
    assert {golden.site.language for golden in GOLDEN} >= {"en", "de", "es", "fr", "ja"}
    ideas = [idea for golden in GOLDEN for idea in golden.idea_records()]
    assert any(len(idea.title) > 150 for idea in ideas), "a title longer than half a post"
    assert any(measure(idea.title).links for idea in ideas), "a file name that is a link on X"
    assert any(idea.title.count("$") > 1 for idea in ideas), "more cashtags than X takes"
    keywords = [keyword for golden in GOLDEN for keyword in golden.keyword_records().values()]
    assert any("ignore all previous instructions" in keyword.phrase for keyword in keywords), "orders in a keyword"
    assert any(keyword.volume_low for keyword in keywords), "a volume of which only the range is known"


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.site.slug)
def test_the_ideas_of_the_set_keep_the_rules_that_ideas_have(golden: GoldenSite) -> None:
    """Else they teach what is then turned down, and a memory of repeats could not have come about."""
    written = [*golden.memory_records(), *golden.idea_records()]
    for idea in written:
        assert 2 <= count_sentences(idea.description) <= 3, idea.title
    if golden.calendar:  # without one it says why: its language is not told apart
        memory = TopicMemory((), OnDevice())
        vectors = memory.vectors_of([(idea.title, idea.description) for idea in written])
        assert np.triu(vectors @ vectors.T, 1).max() < memory.repeat


def test_a_range_of_searches_is_quoted_as_a_range() -> None:
    known = {phrase: keyword for golden in GOLDEN for phrase, keyword in golden.keyword_records().items()}
    assert known["förderung wärmepumpe"].searches == "10,000 to 100,000"
    assert known["espresso grinder"].searches == "14,800"


def test_the_ids_of_the_cases_hold_when_the_words_change(tmp_path: Path) -> None:
    """They are the items of the ledger."""
    (tmp_path / "a.yaml").write_text(SITE.replace("Your Pour Over Tastes Bitter", "Bitter Pour Over"), encoding="utf-8")
    (reworded,) = read_golden(tmp_path)
    (ours,) = (golden for golden in GOLDEN if golden.site.slug == "grindstone")
    assert [idea.id for idea in reworded.idea_records()] == [idea.id for idea in ours.idea_records()]
    assert reworded.idea_records()[1].title != ours.idea_records()[1].title


def test_the_texts_of_a_structure_come_in_its_order() -> None:
    assert list(texts_of({"posts": ["a", {"b": "b"}], "count": 2, "none": None, "last": "c"})) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("title: Your Pour", "titel: Your Pour"), ("ideas.1.titel: unknown key; known are why, title, description, topic_category, ",)),
        (("ideas_per_day: 4", "ideas_a_day: 4"), ("site.automation.ideas_a_day: unknown key; known are enabled, at, ideas_per_day",)),
        (("clusters:", "clusters: " + "[" * 5000), ("no valid YAML",)),
        (("    format: checklist\n", ""), ("ideas.1.format is missing",)),
        (("keywords: [pour over tastes bitter, ", "keywords: [pour over tastes sour, "), ("pour over tastes sour", "no keyword")),
        (("      limescale in kettle: 720\n", "      Espresso  Grinder: 720\n"), ("“espresso grinder” is there twice",)),
        (
            ("espresso grinder: 14800", "espresso grinder: many"),
            ("clusters.0.keywords.espresso grinder is wrong: expected a whole number",),
        ),
        (("day: 2026-03-09", "day: soon"), ("calendar.day is wrong: expected a day, YYYY-MM-DD",)),
        (("day: 2026-03-09", "day: 2026-02-30"), ("no valid YAML",)),
        (("clusters:", "clusters: ["), ("line ", "no valid YAML")),
        (("ideas_per_day: 4", "ideas_per_day: 40"), ("site.automation.ideas_per_day is wrong: expected 5 or less",)),
    ],
)
def test_a_malformed_file_is_one_line_that_names_it_and_what_is_wrong(
    tmp_path: Path, change: tuple[str, str], named: tuple[str, ...]
) -> None:
    assert change[0] in SITE
    (tmp_path / "mine.yaml").write_text(SITE.replace(*change, 1), encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        read_golden(tmp_path)
    said = str(caught.value)
    assert said.startswith(str(tmp_path / "mine.yaml"))
    assert "\n" not in said
    for name in named:
        assert name in said


def test_a_folder_without_a_set_and_two_sites_of_one_name_are_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no golden set"):
        read_golden(tmp_path)
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(SITE, encoding="utf-8")
    with pytest.raises(BadInput, match="two sites have the slug grindstone"):
        read_golden(tmp_path)
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match=r"b\.yaml: cannot be read \(not UTF-8\)"):
        read_golden(tmp_path)
