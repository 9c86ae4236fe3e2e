"""The compliance report as HTML, WebVTT and Markdown: self-contained, readable without script, and safe whatever the texts say."""

import base64
import hashlib
import io
import itertools
import re
from decimal import Decimal
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.errors import BadInput
from pressroom.records import Coverage, Evidence, Frame, Modality, Trigger
from pressroom.reports import screening_render
from pressroom.reports.screening import Cost, ScreeningReport, screening_report
from pressroom.reports.screening_evidence import groups, pictures, quotes
from pressroom.reports.screening_render import (
    looked_at,
    render_screening_html,
    render_screening_markdown,
    render_screening_vtt,
    told_cost,
)
from pressroom.reports.screening_timeline import LANES, lanes, length_ms, modalities, ticks
from tests.reports.sample_screenings import ARABIC, REPORTS, SCRIPT, SITE, clean, findings, five, hostile, nothing, thumbnail, trigger
from tests.reports.sample_screenings import two_hours as long_one
from tests.reports.sample_screenings import video as video_facts

VOID = {"meta", "img", "input", "rect", "line"}
BLOCKS = {"p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd", "h1", "h2", "h3", "h4", "header", "blockquote"}
TAGS = VOID | BLOCKS | {"html", "head", "title", "style", "body", "main", "footer", "section", "article", "div", "label"}
TAGS |= {"span", "b", "bdi", "a", "code", "i", "svg", "defs", "pattern", "text"}
CSS = (Path(screening_render.__file__).with_name("templates") / "screening.css").read_text(encoding="utf-8")
CLIP = "https://media.example:8443/clip%20one.mp4?X-Amz-Signature=abc&b=1"


class Page(HTMLParser):
    """What a browser would see: tags in balance, attributes, and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag
        self.text += " " * (tag in BLOCKS)

    def handle_data(self, data: str) -> None:
        if not {"style", "script", "title"} & set(self.open):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def line(self) -> str:
        return " ".join(self.text.split())


def page(report: ScreeningReport, **options: str) -> Page:
    return Page(render_screening_html(report, thumbnail=thumbnail, **options))


@pytest.mark.parametrize("name", REPORTS)
def test_html_is_well_formed_and_has_only_the_elements_of_the_template(name: str) -> None:
    shown = page(REPORTS[name]())
    assert shown.open == []
    assert {tag for tag, _ in shown.tags} <= TAGS
    names = {attribute for _, attributes in shown.tags for attribute in attributes}
    assert not [attribute for attribute in names if attribute.startswith("on")], "a text has become an event handler"


@pytest.mark.parametrize("name", REPORTS)
def test_html_needs_nothing_from_outside_and_every_link_leads_somewhere(name: str) -> None:
    html = render_screening_html(REPORTS[name](), thumbnail=thumbnail)
    shown = Page(html)
    ids = [attributes["id"] for _, attributes in shown.tags if "id" in attributes]
    inside = [link["href"] or "" for link in shown.all("a") if (link["href"] or "").startswith("#")]
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in inside} <= set(ids)
    assert all((image["src"] or "").startswith("data:image/jpeg;base64,") for image in shown.all("img"))
    assert not re.findall(r"url\((?!#hatch)", html)
    assert "@import" not in html
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in unescape(html)


@pytest.mark.parametrize("name", REPORTS)
def test_html_can_be_read_aloud(name: str) -> None:
    shown = page(REPORTS[name]())
    assert shown.all("html")[0]["lang"] == "en"
    assert all(cell.get("scope") in ("col", "row") for cell in shown.all("th"))
    assert all(image["alt"] for image in shown.all("img"))
    assert all(box["aria-label"] for box in shown.all("input"))
    levels = [int(tag[1]) for tag, _ in shown.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), "a heading level is left out"


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_marks_stand_out_by_light_and_in_the_dark(theme: int) -> None:
    """WCAG 2.2, AA: 4.5 for text, 3 for graphics."""
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", CSS.split(":root {")[theme + 1].split("}")[0]))
    texts = [(text, ground) for text in ("ink", "soft") for ground in ("ground", "sheet")]
    texts += [(tone, f"{tone}-ground") for tone in ("good", "warn", "bad", "plain")] + [("soft", "inset")]
    assert {pair: value for pair in texts if (value := contrast(colours[pair[0]], colours[pair[1]])) < 4.5} == {}
    marks = [(f"s{severity}", ground) for severity in range(4) for ground in ("lane", "ground")]
    assert {pair: value for pair in marks if (value := contrast(colours[pair[0]], colours[pair[1]])) < 3} == {}


def test_the_report_is_read_in_the_order_of_the_questions() -> None:
    text = page(five()).line
    order = ["block", "Explicit nudity (SEX.EXPLICIT)", "What was not analysed", "What was looked at", "Timeline", "Triggers", "The file"]
    places = [text.index(words) for words in [*order, "Models and versions", "Cost and time", "Judged by the policy", "look like this one"]]
    assert places == sorted(places)


def test_what_was_not_analysed_is_said_in_plain_words_and_by_cause() -> None:
    text = page(nothing()).line
    assert "0 of 8 detectors analysed it" in text
    assert "Objects, nudity, violence: not analysed. No hosted model is set" in text
    assert "What was not analysed is not known to be clean." in text
    assert "No trigger was found in what was analysed." in text
    assert "What was not analysed" not in page(clean()).line


def test_a_detector_that_saw_a_part_is_not_called_whole() -> None:
    text = page(five()).line
    assert "in part 1:11.5 of 2:01 heard. The sound stopped decoding at 1:11.5." in text
    assert "7 of 8 detectors analysed it" in text


def test_a_trigger_has_picture_quote_score_rule_and_crosswalk() -> None:
    text = page(five()).line
    assert "“CURES MIGRAINE IN 3 DAYS” read at 1:01" in text
    assert "“bloody kettle” said at 0:04.8" in text
    assert "severity 3 · score 0.93 · by nudity" in text
    assert "no score" in text
    assert "Rule nudity: explicit at 0.80 or more, 1 s or longer" in text
    assert "GARM Adult · Rekognition Explicit · YouTube ads Adult content" in text


def test_hostile_texts_are_shown_as_they_are_and_run_nothing() -> None:
    html = render_screening_html(hostile(), thumbnail=thumbnail)
    shown = Page(html)
    assert SCRIPT in shown.text
    assert ARABIC in shown.text
    assert "invoice\ufffd4pm.exe" in shown.text, "what turns the reading direction is made visible"
    assert not re.search("[\x00\x1b\u202e]", html)
    assert not [link for link in shown.all("a") if (link["href"] or "").startswith("javascript")]
    assert "https://x.example/?a=1&b=2" in [link["href"] for link in shown.all("a")]


def test_severe_pictures_are_veiled_until_asked_for_and_others_are_not() -> None:
    html = render_screening_html(five(), thumbnail=thumbnail)
    veiled = re.findall(r'<label class="shot veil"><input type="checkbox" aria-label="Show the picture at [\d:.]+"><img', html)
    assert len(veiled) == sum(picture.veiled for shown in pictures(five(), thumbnail).values() for picture in shown)
    by_code = {trigger.code: pictures(five(), thumbnail).get(trigger.number, ()) for trigger in five().triggers}
    assert all(picture.veiled for code in ("SEX.EXPLICIT", "VIO.WEAPON") for picture in by_code[code])
    assert not any(picture.veiled for code in ("CLAIM.HEALTH", "PII.ONSCREEN") for picture in by_code[code])
    assert by_code["LANG.PROFANITY"] == ()


def of(*triggers: Trigger) -> ScreeningReport:
    return screening_report(SITE, video_facts("a.mp4", 60_000), findings("review", "why", 60_000, triggers=triggers))


def test_a_mild_trigger_does_not_unveil_the_picture_of_a_severe_one() -> None:
    report = of(trigger(3, "SEX.EXPLICIT", 20_000, 9_000, 0.9), trigger(6, "PII.ONSCREEN", 22_000, 2_000, 0.9))
    assert all(picture.veiled for picture in pictures(report, thumbnail)[6])


def test_what_only_one_role_may_see_is_not_in_the_file() -> None:
    (withheld,) = pictures(hostile(), thumbnail)[4]
    assert (withheld.data, withheld.note) == ("", "Picture withheld: only the role safety<lead> may see it.")


@pytest.mark.parametrize("content", [None, b"", b"<svg onload=alert(1)>"])
def test_a_picture_that_is_gone_or_no_jpeg_is_said_to_be_gone(content: bytes | None) -> None:
    report = of(trigger(1, "PII.ONSCREEN", 2_000, 900, 0.9))
    ((gone,),) = pictures(report, lambda frame: content).values()
    assert (gone.data, gone.note) == ("", "The picture is no longer stored.")


def test_pictures_of_three_hundred_triggers_leave_the_file_small_and_the_severest_have_theirs() -> None:
    report = long_one()
    assert len(render_screening_html(report, thumbnail=thumbnail).encode()) < 5_000_000
    large = b"\xff\xd8\xff" + bytes(60_000)
    shown = pictures(report, lambda frame: large)
    with_picture = {number for number, found in shown.items() if found[0].data}
    assert len(with_picture) == 3_000_000 // len(large)
    severity = {one.number: one.severity for one in report.triggers}
    assert {severity[number] for number in with_picture} == {3}
    assert {found[0].note for found in shown.values() if not found[0].data} == {"Picture left out: the report would grow too large."}


def test_three_hundred_triggers_are_grouped_by_code_with_a_table_of_contents() -> None:
    report = long_one()
    shown = page(report)
    found = groups(report.triggers)
    assert found[0].code == "SEX.EXPLICIT", "what blocks comes first"
    assert sum(len(group.triggers) for group in found) == 300
    assert [link["href"] for link in shown.all("a") if (link["href"] or "").startswith("#risk-")] == [
        f"#risk-{place}" for place in range(1, len(found) + 1)
    ]
    assert len(shown.all("article")) == 300
    assert shown.line.count("nudity: explicit at 0.80 or more") == 1, "a rule that all share is said once"


def test_a_rule_that_differs_inside_a_code_stands_at_each_trigger() -> None:
    one = trigger(1, "VIO.WEAPON", 1_000, 500, 0.9)
    other = trigger(2, "VIO.WEAPON", 9_000, 500, 0.9, rule="violence: gun at 0.50 or more")
    assert groups([one, other])[0].rule == ""
    assert {one.rule, other.rule} <= set(re.findall(r"Rule</b> ([^<]+)<", render_screening_html(of(one, other))))


def test_of_a_code_with_thousands_of_triggers_the_weightiest_are_shown_and_all_are_counted() -> None:
    many = [trigger(number, "LANG.PROFANITY", number * 20, 10, number / 3000) for number in range(1, 3001)]
    shown = page(of(*many, trigger(3001, "VIO.WEAPON", 1_000, 500, 0.9)))
    assert len(shown.all("article")) == 201
    assert "The weightiest 200 of 3,000 are shown; all are in the JSON report." in shown.line
    assert "trigger-3000" in {card["id"] for card in shown.all("article")}
    links = {(link["href"] or "").removeprefix("#") for link in shown.all("a")}
    assert links <= {attributes["id"] for _, attributes in shown.tags if "id" in attributes}


def test_words_of_title_and_description_are_at_no_time_of_the_video() -> None:
    spoken = trigger(3, "PII.ONSCREEN", 0, 60_000, 0.9)
    written = tuple(one.model_copy(update={"frame": None}) for one in spoken.evidence)
    text = page(of(spoken.model_copy(update={"evidence": written}))).line
    assert "in writing" in text
    assert "in writing at" not in text


def test_the_same_words_are_quoted_once() -> None:
    twice = trigger(2, "PII.ONSCREEN", 0, 3_000, 0.9)
    same = tuple(one.model_copy(update={"text": text}) for one, text in zip(twice.evidence, ("Call  me", "call me", " "), strict=True))
    assert [quote.text for quote in quotes(twice.model_copy(update={"evidence": same}))] == ["Call me"]


def test_without_a_video_the_page_has_no_script_and_marks_lead_to_triggers() -> None:
    shown = page(five())
    assert not shown.all("script")
    assert not shown.all("video")
    assert {"#trigger-2", "#trigger-5"} <= {link["href"] for link in shown.all("a")}


def test_with_a_video_times_lead_into_it_also_without_script() -> None:
    html = render_screening_html(five(), thumbnail=thumbnail, video_url=CLIP)
    shown = Page(html)
    assert [player["src"] for player in shown.all("video")] == [CLIP]
    assert {f"{CLIP}#t=21.400", f"{CLIP}#t=88.000"} <= {link["href"] for link in shown.all("a")}
    script = html.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = shown.all("meta")[-1]["content"] or ""
    assert policy.endswith(f"; media-src https://media.example:8443; script-src 'sha256-{digest}'")
    assert "X-Amz" not in policy


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "data:text/html,x", "java\nscript:1", "a.mp4;script-src *", "http://[::1/x", "a b.mp4"]
)
def test_a_player_for_another_kind_of_address_is_refused(address: str) -> None:
    with pytest.raises(BadInput, match="the video's address in a report"):
        render_screening_html(clean(), video_url=address)


def test_html_prints_on_white_with_its_cards_whole() -> None:
    printed = CSS.split("@media print")[1]
    assert "@media screen and (prefers-color-scheme: dark)" in CSS, "paper stays light"
    assert "break-inside: avoid" in printed
    assert "video { display: none; }" in printed


spans = st.tuples(st.integers(0, 7_200_000), st.integers(0, 600_000), st.integers(0, 3), st.sampled_from(sorted(LANES)))


def made(number: int, start: int, length: int, severity: int, modality: Modality) -> Trigger:
    return trigger(number, "VIO.WEAPON", start, length, 0.9, severity=severity, modality=modality, evidence=())


@given(st.lists(spans, max_size=80))
def test_marks_are_to_scale_apart_and_lose_no_trigger(found: list[tuple[int, int, int, Modality]]) -> None:
    triggers = [made(number, *one) for number, one in enumerate(found)]
    length = length_ms(7_200_000, triggers)
    shown = list(lanes(triggers, (), length))
    assert [lane.modality for lane in shown] == list(LANES)
    assert sorted(one.number for lane in shown for mark in lane.marks for one in mark.triggers) == list(range(len(triggers)))
    for lane in shown:
        for mark in lane.marks:
            assert mark.left >= 0
            assert mark.left + mark.width <= 100.01
            assert mark.left <= mark.start_ms / length * 100 + 0.01
            assert mark.left + mark.width >= mark.end_ms / length * 100 - 0.01
            assert {one.severity for one in mark.triggers} == {mark.severity}
        for severity in range(4):
            same = [mark for mark in lane.marks if mark.severity == severity and not mark.is_band]
            assert all(one.left + one.width <= other.left + 0.01 for one, other in itertools.pairwise(same))


def test_a_trigger_about_the_whole_video_does_not_swallow_the_others() -> None:
    whole = trigger(1, "PII.ONSCREEN", 0, 60_000, 1.0)
    others = [trigger(2, "PII.ONSCREEN", 10_000, 500, 0.9), trigger(3, "PII.ONSCREEN", 40_000, 500, 0.9)]
    (text,) = [lane for lane in lanes([whole, *others], (), 60_000) if lane.modality == "text"]
    assert [(mark.is_band, [one.number for one in mark.triggers]) for mark in text.marks] == [(True, [1]), (False, [2]), (False, [3])]


@given(st.integers(1, 50 * 3_600_000))
def test_ticks_are_few_round_and_end_with_the_video(length: int) -> None:
    found = ticks(length)
    assert len(found) <= 7
    assert (found[0].at_ms, found[-1].at_ms, found[-1].left) == (0, length, 100.0)
    assert all(other.left - one.left > 10 for one, other in itertools.pairwise(found))


def test_a_lane_that_nobody_looked_at_is_hatched_and_says_so() -> None:
    assert render_screening_html(nothing()).count('fill="url(#hatch)"') == len(LANES)
    assert 'fill="url(#hatch)"' not in render_screening_html(clean())
    assert "Visual not analysed: violence" in re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", render_screening_html(five())))


def cues(vtt: str) -> list[tuple[int, int, str]]:
    """Start and length in ms and the text of every cue, as FFmpeg's reader of WebVTT finds them."""
    with av.open(io.BytesIO(vtt.encode()), format="webvtt") as container:
        return [(packet.pts, packet.duration or 0, bytes(packet).decode()) for packet in container.demux() if packet.pts is not None]


@pytest.mark.parametrize("name", ["five", "two hours", "hostile"])
def test_a_player_finds_one_cue_for_each_trigger(name: str) -> None:
    report = REPORTS[name]()
    found = cues(render_screening_vtt(report))
    assert [start for start, _, _ in found] == [max(trigger.start_ms, 0) for trigger in report.triggers]
    assert all(length >= 1000 for _, length, _ in found)
    assert [text.split(":")[0] for _, _, text in found if name != "hostile"] == [one.code for one in report.triggers if name != "hostile"]


@pytest.mark.parametrize("name", ["clean", "nothing", "refused", "duplicate"])
def test_a_track_without_triggers_is_still_a_track(name: str) -> None:
    assert render_screening_vtt(REPORTS[name]()).startswith("WEBVTT\n\nNOTE\nRisk triggers of ")
    assert "-->" not in render_screening_vtt(REPORTS[name]())


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_text_breaks_the_track(title: str, said: str) -> None:
    base = trigger(3, "PII.ONSCREEN", 1_000, 2_000, 0.9)
    evidence = (base.evidence[0].model_copy(update={"text": said}),)
    spoken = [base.model_copy(update={"number": number, "start_ms": number, "title": title, "evidence": evidence}) for number in (1, 2)]
    vtt = render_screening_vtt(of(*spoken))
    assert len(cues(vtt)) == 2
    assert vtt.count("-->") == 2
    assert "<" not in vtt


@pytest.mark.parametrize("name", REPORTS)
def test_markdown_is_short_has_whole_tables_and_no_html(name: str) -> None:
    markdown = render_screening_markdown(REPORTS[name]())
    assert len(markdown.splitlines()) < 40
    for table in re.findall(r"(?:^\|.*\n)+", markdown, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table
    assert not re.search(r"(?<!\\)<", markdown)
    assert "\u202e" not in markdown


def test_markdown_shows_the_severest_and_counts_the_rest() -> None:
    markdown = render_screening_markdown(long_one())
    assert markdown.startswith("**Block.** 86 triggers")
    assert "10 of 300 triggers" in markdown
    assert markdown.count("SEX.EXPLICIT Explicit nudity | ") == 10
    assert "Not analysed:\n- Speech: 0:49.5 of 2:01" in render_screening_markdown(five())


def test_money_without_a_price_is_never_zero() -> None:
    assert "unpriced" in page(hostile()).line
    assert "$0.00" not in page(hostile()).line


def test_thumbnails_are_asked_for_only_where_they_are_shown() -> None:
    asked: list[int] = []

    def look(frame: Frame) -> bytes | None:
        asked.append(frame.number)
        return thumbnail(frame)

    render_screening_html(five(), thumbnail=look)
    assert set(asked) == {frame.number for frame in five().frames}


def test_words_that_were_said_and_shown_are_told_so_and_stand_in_both_lanes() -> None:
    heard = Evidence(detector="flagged_terms", signal=1, at_ms=1500, label="claim", text="double your money", source="transcript")
    seen = Evidence(detector="flagged_terms", signal=2, at_ms=4000, label="claim", text="guaranteed returns", frame=2, source="screen_text")
    merged = trigger(1, "CLAIM.HEALTH", 1500, 6000, 0.9).model_copy(update={"modality": "text", "evidence": (heard, seen)})
    assert [quote.how for quote in quotes(merged)] == ["said", "read"]
    assert modalities(merged) == {"speech", "text"}


def test_sound_is_told_by_how_much_was_heard_and_not_by_looks() -> None:
    heard = Coverage(detector="transcript", state="analysed", seconds=120, of_s=120, largest_gap_s=0.0, looks=1)
    part = heard.model_copy(update={"seconds": 100.0, "largest_gap_s": 20.0})
    assert looked_at(heard) == ("analysed", "all 2:00 heard")
    assert looked_at(part) == ("in part", "1:40 of 2:00 heard; longest stretch not heard 20.0 s")
    assert looked_at(heard.model_copy(update={"detector": "nudity"})) == (
        "analysed",
        "2:00 of 2:00; largest gap 0.0 s; 1 look",
    )


def test_what_the_video_cost_in_all_is_no_other_figure_than_what_this_run_paid() -> None:
    replayed = Cost(usd=Decimal("0.0384"), paid_usd=Decimal(0), replayed=124)
    assert told_cost(replayed) == "$0.0384 in all; this run paid $0.00 for 0 calls, 124 answered before"
    assert (
        told_cost(replayed.model_copy(update={"paid_usd": None, "paid": 1}))
        == "$0.0384 in all; this run paid for 1 call, 124 answered before"
    )
