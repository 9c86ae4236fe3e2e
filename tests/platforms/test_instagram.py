"""Instagram: how long a script takes to say, whether it is complete, and its caption."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.errors import BadInput
from pressroom.platforms.instagram import PLATFORM


def a_reel(**parts: Any) -> dict[str, Any]:
    reel = {
        "hook": "word " * 10,
        "value": "word " * 60,
        "call_to_action": "word " * 15,
        "scenes": [{"section": "hook", "description": "A hand."}, {"section": "value", "description": "A table."}],
        "caption": "A caption. #one",
    }
    return reel | parts


def broken(**parts: Any) -> list[tuple[str, str, str | None]]:
    return [(violation.code, violation.severity, violation.part) for violation in PLATFORM.check(a_reel(**parts)).violations]


def test_a_complete_reel_has_no_violation() -> None:
    assert broken() == []
    assert PLATFORM.check(a_reel()).measures["seconds"] == 34.0


@pytest.mark.parametrize(("words", "codes"), [(12, ["seconds"]), (13, []), (125, []), (126, ["seconds", "value_seconds"])])
def test_a_reel_lasts_15_to_60_seconds(words: int, codes: list[str]) -> None:
    """At 150 words a minute: 25 words of hook and call to action are 10 seconds."""
    assert [code for code, *_ in broken(value="word " * words)] == codes


@pytest.mark.parametrize(("words", "warned"), [(7, True), (8, False), (12, False), (13, True)])
def test_a_hook_of_other_than_3_to_5_seconds_is_a_warning(words: int, warned: bool) -> None:
    assert broken(hook="word " * words) == [("hook_seconds", "warning", "hook")] * warned


@pytest.mark.parametrize(("words", "warned"), [(12, True), (13, False), (25, False), (26, True)])
def test_a_call_to_action_of_other_than_5_to_10_seconds_is_a_warning(words: int, warned: bool) -> None:
    assert broken(call_to_action="word " * words) == [("call_to_action_seconds", "warning", "call_to_action")] * warned


def test_numbers_are_timed_as_they_are_spoken() -> None:
    """Twelve times eleven words: written, the value has 12 words and would be far too short."""
    assert broken(value="1,384,234 " * 12)[0][0] == "seconds"
    assert PLATFORM.check(a_reel(value="1,384,234 " * 10)).measures["value_seconds"] == 44.0


@pytest.mark.parametrize("part", ["hook", "value", "call_to_action", "caption"])
def test_every_section_is_there(part: str) -> None:
    assert ("sections", "error", part) in broken(**{part: " \n"})


def test_scenes_are_there_and_each_belongs_to_a_section() -> None:
    assert broken(scenes=[]) == [("sections", "error", "scenes")]
    assert broken(scenes=[{"section": "outro", "description": "A sunset."}]) == [("scene_sections", "error", "scenes[0].section")]
    assert broken(scenes=[{"section": "hook", "description": " "}]) == [("sections", "error", "scenes[0].description")]


def test_the_caption_has_its_own_limits() -> None:
    assert broken(caption="a" * 2200) == []
    assert broken(caption="a" * 2201) == [("caption_characters", "error", "caption")]
    assert broken(caption="#a #b #c #d #e #f") == [("hashtags", "error", "caption")]
    assert broken(caption="Read on at example.com/page") == [("caption_links", "warning", "caption")]


def test_a_message_says_how_many_words_to_change() -> None:
    message = PLATFORM.check(a_reel(value="word " * 5)).violations[0].message
    assert message == "The script lasts 12 seconds when spoken, 15 to 60 are allowed: add about 8 words."


WORDS = st.text("abc äé日.,!? ", min_size=1, max_size=40).map(str.strip).filter(bool)
SCENES = st.lists(
    st.fixed_dictionaries({"section": st.sampled_from(["hook", "value", "call_to_action"]), "description": WORDS}), max_size=4
)


@given(st.fixed_dictionaries(dict.fromkeys(("hook", "value", "call_to_action", "caption"), WORDS) | {"scenes": SCENES}))
def test_a_rendered_reel_reads_back(reel: dict[str, Any]) -> None:
    assert PLATFORM.parts_of(PLATFORM.render(reel)) == reel
    assert PLATFORM.parts_of(json.dumps(reel)) == reel


def test_headings_are_read_as_people_write_them() -> None:
    text = (
        "## Hook\r\nHi.\r\n\r\n**Value:**\r\nThis.\r\n\r\ncall to action:\r\nGo.\r\nScenes\r\n* Call to action: A hand.\r\nCAPTION\r\nBye."
    )
    scenes = [{"section": "call_to_action", "description": "A hand."}]
    assert PLATFORM.parts_of(text) == {"hook": "Hi.", "value": "This.", "call_to_action": "Go.", "scenes": scenes, "caption": "Bye."}


def test_a_text_without_headings_is_a_caption_and_fails_for_the_rest() -> None:
    checked = PLATFORM.check(PLATFORM.parts_of("Just a caption."))
    assert [violation.part for violation in checked.violations if violation.code == "sections"] == [
        "hook",
        "value",
        "call_to_action",
        "scenes",
    ]


def test_a_scene_without_a_section_is_kept_and_named() -> None:
    checked = PLATFORM.check(PLATFORM.parts_of(PLATFORM.render(a_reel()).replace("- value: ", "")))
    assert [violation.part for violation in checked.violations] == ["scenes[1].section"]


@pytest.mark.parametrize(
    ("text", "message"), [("HOOK\na\nHOOK\nb", "line 3: the heading HOOK is there twice"), ("Hello\nHOOK\na", "line 1: expected one of")]
)
def test_a_script_that_cannot_be_read_is_named_by_its_line(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        PLATFORM.parts_of(text)
