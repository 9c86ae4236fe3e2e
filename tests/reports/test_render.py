"""The three renderings: self-contained, accessible, and safe whatever the texts say."""

import itertools
import re
from html.parser import HTMLParser

import pytest

from pressroom.reports.daily import daily_report
from pressroom.reports.document import DailyReport
from pressroom.reports.render import bars, blocks, markdown_text, part_name, render_html, render_json, render_markdown
from tests.reports.sample_days import ARABIC, LONG, PLATFORMS, SCRIPT, bad_day, good_day, hostile_day, quiet_day

DAYS = {"good": good_day, "bad": bad_day, "quiet": quiet_day, "hostile": hostile_day}
VOID = {"meta", "br"}
TAGS = VOID | {
    "html",
    "head",
    "title",
    "style",
    "body",
    "main",
    "header",
    "footer",
    "section",
    "article",
    "h1",
    "h2",
    "h3",
    "h4",
    "p",
    "ul",
}
TAGS |= {"ol", "li", "div", "span", "strong", "b", "bdi", "a", "code", "table", "caption", "thead", "tbody", "tr", "th", "td", "wbr"}


def report_of(day: str) -> DailyReport:
    return daily_report(DAYS[day](), PLATFORMS)


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
        if tag not in VOID | {"wbr"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


@pytest.mark.parametrize("day", DAYS)
def test_html_is_well_formed_and_has_only_the_elements_of_the_template(day: str) -> None:
    page = Page(render_html(report_of(day)))
    assert page.open == []
    assert {tag for tag, _ in page.tags} <= TAGS
    names = {name for _, attributes in page.tags for name in attributes}
    assert not [name for name in names if name.startswith("on")], "a text has become an event handler"


@pytest.mark.parametrize("day", DAYS)
def test_html_needs_nothing_from_outside_and_every_link_leads_somewhere(day: str) -> None:
    html = render_html(report_of(day))
    page = Page(html)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    links = [attributes["href"] or "" for tag, attributes in page.tags if tag == "a"]
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert not [name for _, attributes in page.tags for name in attributes if name in ("src", "srcset", "background")]
    assert "url(" not in html
    assert "@import" not in html


@pytest.mark.parametrize("day", DAYS)
def test_html_can_be_read_aloud(day: str) -> None:
    page = Page(render_html(report_of(day)))
    assert dict(page.tags)["html"]["lang"] == "en"
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in page.tags if tag == "th")
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), "a heading level is left out"


def test_hostile_texts_are_shown_as_they_are() -> None:
    page = Page(render_html(report_of("hostile")))
    assert SCRIPT in page.text
    assert ARABIC in page.text
    assert LONG in page.text
    assert "coo </style><b>" in page.text


def test_a_mail_program_takes_the_report_whole() -> None:
    """Gmail cuts a message off at 102 KB, and drops a style block of more than 8,192 bytes."""
    html = render_html(report_of("good"))
    style = html[html.index("<style>") : html.index("</style>")]
    assert len(html.encode()) < 60_000, "half of what Gmail shows, for drafts of the longest kind"
    assert len(style.encode()) < 8_192
    assert "var(" not in style
    assert "display: flex" not in style
    assert "display: grid" not in style


def test_the_verdict_and_what_waits_come_before_everything_else() -> None:
    text = Page(render_html(report_of("bad"))).text
    order = [
        "failed",
        "The run failed at writer/instagram_reels",
        "Start the day again",
        "What failed, what is missing",
        "Ideas and drafts",
        "What it cost",
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_a_thread_is_read_post_by_post_with_its_weighted_length() -> None:
    text = " ".join(Page(render_html(report_of("bad"))).text.split())
    assert "1 of 2 · 109 of 280" in text
    assert "2 of 2 · 319 of 280" in text
    assert "Rule broken, post 2: Post 2 counts 319 characters on X" in text


def test_a_reel_is_read_in_the_order_in_which_it_is_spoken() -> None:
    (draft,) = [one for one in report_of("good").ideas[0].drafts if one.platform == "instagram"]
    backwards = draft.model_copy(update={"parts": dict(reversed(draft.parts.items()))})
    labels = [block.label for block in blocks(backwards)]
    assert labels == ["Hook", "Value", "Call to action", "Scenes", "Caption"]
    assert blocks(draft)[0].note.endswith("s spoken")
    assert blocks(draft)[3].items[0].note == "hook"


def test_a_platform_that_the_report_does_not_know_is_shown_with_all_its_parts() -> None:
    (draft,) = [one for one in report_of("hostile").drafts if one.platform == "carrier-pigeon"]
    assert [block.label for block in blocks(draft)] == ["", "Feathers", "Flight plan"]
    assert blocks(draft)[1].items[2].text == ARABIC


def test_a_draft_without_parts_is_its_text() -> None:
    (draft,) = [one for one in report_of("hostile").drafts if not one.parts]
    assert [block.items[0].text for block in blocks(draft)] == [SCRIPT]


def test_every_offline_text_has_its_mark() -> None:
    report = report_of("hostile")
    marks = [attributes for tag, attributes in Page(render_html(report)).tags if attributes.get("class") == "chip off"]
    written = len(report.ideas) + len(report.drafts)
    assert len(marks) == written + 1, "one for each idea and draft, and one in the note that explains it"
    assert "chip off" not in render_html(report_of("good"))
    assert render_markdown(report).count("offline") >= written


def test_what_has_no_price_says_so() -> None:
    assert "unpriced" in Page(render_html(report_of("hostile"))).text
    assert "$0.0086 (9 calls of unknown cost)" in render_markdown(report_of("bad"))
    assert "$0.00 " not in Page(render_html(report_of("hostile"))).text


@pytest.mark.parametrize("day", DAYS)
def test_bars_are_to_scale_and_inside_the_run(day: str) -> None:
    for run in report_of(day).runs:
        found = list(bars(run))
        assert len(found) == len(run.steps)
        assert all(bar.left >= 0 and bar.width >= 0 and bar.left + bar.width <= 100.01 for bar in found)
    if day == "good":
        widths = {bar.step.asset: bar.width / bar.seconds for bar in bars(report_of(day).runs[0])}
        assert max(widths.values()) == pytest.approx(min(widths.values()), rel=0.01)


@pytest.mark.parametrize("day", DAYS)
def test_json_gives_the_report_back(day: str) -> None:
    report = report_of(day)
    assert DailyReport.model_validate_json(render_json(report)) == report


@pytest.mark.parametrize("day", DAYS)
def test_markdown_has_whole_tables_and_no_html(day: str) -> None:
    markdown = render_markdown(report_of(day))
    for table in re.findall(r"(?:^\|.*\n)+", markdown, flags=re.MULTILINE):
        columns = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(columns) == 1, table
    assert not re.search(r"(?<!\\)<", markdown)
    assert "\u202e" not in markdown


@pytest.mark.parametrize(
    ("text", "shown"), [("a|b", r"a\|b"), ("two\nlines", "two lines"), ("<b>", r"\<b\>"), ("x" * 400, "x" * 299 + "…")]
)
def test_markdown_text_is_one_line_shown_as_it_is(text: str, shown: str) -> None:
    assert markdown_text(text) == shown


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("posts[1]", "post 2"),
        ("key_points[0]", "key point 1"),
        ("scenes[2].section", "scene 3, section"),
        ("call_to_action", "call to action"),
    ],
)
def test_a_part_is_named_in_plain_words(part: str, words: str) -> None:
    assert part_name(part) == words
