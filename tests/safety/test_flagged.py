"""Flagged words have the time of the text they are in, and the coverage of what was heard and read."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pressroom.inference.types import Detection
from pressroom.safety.flagged import flagged_terms, origin_of
from tests.safety.samples import DURATION, looked, signal

BOTH = (looked("transcript"), looked("screen_text"))


def flagged(*signals: Any, coverages: Any = BOTH, **more: Any) -> Detection:
    return flagged_terms(signals, coverages, duration_ms=DURATION, **more)


def said(text: str, start: int, end: int, **more: Any) -> Any:
    return signal("transcript", "speech", start, end, text=text, **more)


def shown(text: str, start: int, end: int, **more: Any) -> Any:
    return signal("screen_text", "text", start, end, text=text, **more)


def test_a_phrase_over_several_words_of_the_transcript_has_the_time_of_all() -> None:
    """A transcript may come word by word."""
    words = [
        said(word, 1_000 * number, 1_000 * number + 800, number=number)
        for number, word in enumerate(["with", "guaranteed", "returns", "today"])
    ]
    (only,) = flagged(*words).signals
    assert (only.label, only.start_ms, only.end_ms) == ("finance_claim", 1_000, 2_800)
    assert only.text == "with guaranteed returns today"
    origin = origin_of(only.version)
    assert origin is not None
    assert (origin.source, origin.version, origin.modality) == ("transcript", "1", "speech")


def test_words_with_a_long_pause_between_them_are_no_phrase() -> None:
    assert flagged(said("guaranteed", 0, 500, number=1), said("returns", 30_000, 31_000, number=2)).signals == ()


def test_lines_of_one_frame_are_read_from_the_top_and_have_its_frame_and_box() -> None:
    top, low = (0.1, 0.1, 0.9, 0.2), (0.1, 0.3, 0.9, 0.4)
    lines = [shown("RETURNS, or call +49 170 1234567", 4_000, 6_000, number=1, frame=2, box=low)]
    lines += [shown("Guaranteed", 4_000, 6_000, number=2, frame=2, box=top)]
    claim, phone = flagged(*lines).signals
    assert (claim.label, claim.frame, claim.box, claim.start_ms, claim.end_ms) == ("finance_claim", 2, None, 4_000, 6_000)
    assert (phone.label, phone.frame, phone.box) == ("pii.phone", 2, low)


def test_personal_data_is_masked_in_what_is_shown_and_not_looked_for_in_the_description() -> None:
    found = flagged(shown("Mail jo@example.com about this shit", 0, 1_000), description="Write to press@example.com")
    assert {one.label for one in found.signals} == {"pii.email", "profanity"}
    assert all("jo@example.com" not in (one.text or "") for one in found.signals)


def test_title_and_description_are_about_the_whole_video() -> None:
    (only,) = flagged(title="The miracle cure!").signals
    assert (only.start_ms, only.end_ms, only.frame) == (0, DURATION, None)
    origin = origin_of(only.version)
    assert origin is not None
    assert origin.is_about


def test_a_word_that_is_said_three_times_in_a_sentence_is_one_finding() -> None:
    assert len(flagged(said("shit shit shit", 0, 2_000)).signals) == 1


def test_the_coverage_is_that_of_the_texts() -> None:
    whole = flagged().coverage
    assert (whole.state, whole.fraction, whole.reason) == ("analysed", 1.0, "")
    half = flagged(coverages=(looked("transcript", 0.5, largest_gap_s=9.0), looked("screen_text", largest_gap_s=2.0))).coverage
    assert (half.state, half.fraction, half.largest_gap_s, half.reason) == ("analysed", 0.5, 9.0, "what was said is known for 50%")
    unread = flagged(coverages=(looked("transcript"), looked("screen_text", 0, state="failed", reason="the model did not load"))).coverage
    assert (unread.state, unread.fraction) == ("analysed", 0.0)
    assert unread.reason == "what stands on the screen is not known: screen_text failed (the model did not load)"
    assert flagged(coverages=(), title="Hello").coverage.state == "skipped"


def test_a_language_without_all_dictionaries_is_unsupported_and_says_which_are_missing() -> None:
    found = flagged(said("so eine Scheiße", 0, 1_000), language="de-DE")
    assert [one.label for one in found.signals] == ["profanity"]
    assert found.coverage.state == "unsupported"
    assert found.coverage.reason.startswith("no dictionary of 'de' for alcohol, drug, ")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("transcript", "screen_text")),
            st.lists(st.sampled_from(("casino", "ok", "sh1t", "a@b.io", "guaranteed", "returns")), max_size=4).map(" ".join),
            st.integers(0, 50),
        ),
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_texts_does_not_matter_and_every_finding_is_in_one(texts: list[tuple[Any, str, int]], rng: Any) -> None:
    signals = [
        signal(name, "text", at * 1_000, at * 1_000 + 700, text=text, number=number) for number, (name, text, at) in enumerate(texts)
    ]
    found = flagged(*signals).signals
    assert [one.number for one in found] == list(range(1, len(found) + 1))
    assert {one.start_ms for one in found} <= {one.start_ms for one in signals}
    rng.shuffle(signals)
    assert flagged(*signals).signals == found
