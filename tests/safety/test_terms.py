"""Terms are found however they are disguised, and never inside a longer word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.safety.dictionaries import Dictionaries, Dictionary, Term, dictionaries
from pressroom.safety.folding import LEET, fold
from pressroom.safety.terms import Matcher, find_terms

WORDS = ("grenade", "cocaine", "guaranteed returns", "shit", "ass", "heroin", "casino", "double your money", "hell")


def matcher(*terms: Term | str, language: str = "en") -> Matcher:
    listed = tuple(Term(term=one) if isinstance(one, str) else one for one in terms)
    return Matcher(Dictionaries(files=(Dictionary(language=language, code="TEST", label="test", terms=listed),)), language)


MATCHER = matcher(*WORDS)


@st.composite
def disguised(draw: st.DrawFn) -> tuple[str, str]:
    """A term, and the same in capitals, leetspeak and stretched: digits for at most half of it, so that it is no number."""
    term = draw(st.sampled_from(WORDS))
    written, digits, letters = "", 0, 0
    for letter, after in zip(term, term[1:] + " ", strict=True):
        shape = draw(st.sampled_from((letter, letter.upper(), chr(ord(letter) + 0xFEE0) if letter != " " else "\u3000")))
        times = draw(st.integers(3, 6)) if letter != " " and draw(st.booleans()) else 1
        signs = [sign for sign in LEET.get(letter, "") if sign not in "!|+" or after != " "]
        if signs and draw(st.booleans()):
            sign = draw(st.sampled_from(signs))
            if not sign.isdigit() or 2 * (digits + times) <= letters:
                shape, digits = sign, digits + times * sign.isdigit()
        written += shape * times
        letters += times * (letter != " ")
    return term, written


@given(disguised(), st.sampled_from(("", "so ", "(", "«", "1. ", "it's ")), st.sampled_from(("", ".", " and more", "!", "'s", "?!", "…")))
def test_a_term_is_found_however_stretched_leet_or_cased_it_is(pair: tuple[str, str], before: str, after: str) -> None:
    term, written = pair
    text = before + written + after
    found = MATCHER.find(text)
    assert [(one.term, one.text) for one in found] == [(term, written)], text
    assert text[found[0].start : found[0].end] == written, "the place leads back to the text as written"


@given(disguised(), st.text("bcdfgjkmpqvwxyzü2", min_size=1, max_size=4), st.booleans())
def test_a_term_is_never_found_inside_a_longer_word(pair: tuple[str, str], more: str, is_before: bool) -> None:
    _, written = pair
    if " " in written or "\u3000" in written:
        written = written.replace(" ", "").replace("\u3000", "")
    assert MATCHER.find(more + written if is_before else written + more) == ()


@given(st.text())
def test_folding_leads_every_character_back_into_the_text(text: str) -> None:
    for language in ("en", "de"):
        folded = fold(text, language)
        assert len(folded.starts) == len(folded.ends) == len(folded.text)
        assert all(0 <= start < end <= len(text) for start, end in zip(folded.starts, folded.ends, strict=True))


@pytest.mark.parametrize(
    "harmless",
    [
        "Scunthorpe",
        "assess the classic bass",
        "a cocktail",
        "Essex",
        "shoot a film",
        "the Galaxy A55",
        "455",
        "$50",
        "he'll go",
        "user@ass.example",
    ],
)
def test_words_that_only_contain_a_term_are_left_alone(harmless: str) -> None:
    assert matcher("cunt", "ass", "shot", "sex", "hell").find(harmless) == ()


@pytest.mark.parametrize(
    "written",
    ["sh1t", "SH!T", "s.h.i.t", "s h i t", "shiiiit", "shiit", "ｓｈｉｔ", "sh\u200bit", "shít", "ѕhіt", "#shit", "shit's", "shit_happens"],
)
def test_each_disguise_is_seen_through(written: str) -> None:
    """Leetspeak, signs, letters pulled apart, stretched, wide, with an invisible space, with an accent, with Cyrillic letters."""
    assert [one.term for one in matcher("shit").find(f"oh {written} no")] == ["shit"]


def test_double_letters_are_not_stretched_ones() -> None:
    """ "Shoot" is no long "shot": a doubled letter counts as stretched only where the language hardly doubles it."""
    assert matcher("shot").find("shoot") == ()
    assert [one.text for one in matcher("shot").find("shooooot")] == ["shooooot"]
    assert matcher("coon").find("con") == ()


def test_a_phrase_is_found_over_line_ends_and_signs_and_a_longer_one_counts_for_it() -> None:
    found = matcher("guaranteed returns", "returns").find("GUARANTEED\n returns, risk-free. Returns!")
    assert [one.text for one in found] == ["GUARANTEED\n returns", "Returns"]


def test_a_harmless_phrase_takes_its_words_out() -> None:
    gun = matcher(Term(term="gun", unless=("glue gun",)))
    assert [one.start for one in gun.find("a glue gun and a gun")] == [17]


def test_an_accent_matters_where_the_language_says_so() -> None:
    assert matcher("schwul", language="de").find("ein schwüler Tag, schwül") == ()
    assert [one.text for one in find_terms("Was für eine SCHEISSE, scheiße!", "de-AT")] == ["SCHEISSE", "scheiße"]
    assert find_terms("un cono", "es") == []
    assert [one.text for one in find_terms("COÑO", "es")] == ["COÑO"]


def test_a_language_without_dictionaries_finds_nothing() -> None:
    assert find_terms("fuck", "fi") == []


def test_a_term_with_digits_is_found_with_its_signs_or_without() -> None:
    assert {one.text for one in find_terms("AK-47, ak 47, ak47")} == {"AK-47", "ak 47", "ak47"}


def test_a_wall_of_look_alike_signs_is_read_in_no_time() -> None:
    """Every sign could be one of two letters: tried one by one, this would not end."""
    assert matcher("illili", "lillil").find("1li" * 4000) == ()


def test_what_comes_with_pressroom_speaks_for_every_subject() -> None:
    labels = dictionaries().labels("en")
    assert set(labels) >= {"profanity", "weapon", "drug", "gambling", "health_claim", "finance_claim", "scam", "hate"}
    for dictionary in dictionaries().files:
        for term in dictionary.terms:
            for form in term.forms:
                assert form in [one.text for one in find_terms(form, dictionary.language)], f"{form} is not found in itself"
