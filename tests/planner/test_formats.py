"""Keyword files as tools, spreadsheets and people write them."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.errors import BadInput
from pressroom.planner.figures import read_decimal, read_volume
from pressroom.planner.formats import LONGEST_PHRASE, read_keywords
from pressroom.planner.intent import guess_intent
from pressroom.planner.phrases import normalise, titled, word_dropper
from pressroom.records import Keyword

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "keywords"

PLANNER_EXPORT = (
    "Keyword Stats 2026-11-16 at 09_42_17\r\n"
    "November 1, 2025 - October 31, 2026\r\n"
    "Keyword\tCurrency\tAvg. monthly searches\tCompetition\tCompetition (indexed value)\t"
    "Top of page bid (low range)\tTop of page bid (high range)\r\n"
    "heat pump cost\tUSD\t1K – 10K\tHigh\t92\t3.20\t12.40\r\n"
    "heat pump\tUSD\t10K–100K\tMedium\t40\t\t\r\n"
)


def only(text: str | bytes, name: str = "k.csv") -> Keyword:
    """The one keyword of a file."""
    (keyword,) = read_keywords(text.encode() if isinstance(text, str) else text, name).keywords
    return keyword


def test_a_keyword_planner_export_is_read_as_google_writes_it() -> None:
    """UTF-16 with a byte order mark, tabs, CRLF, two title rows, ranges with an en dash."""
    file = read_keywords(b"\xff\xfe" + PLANNER_EXPORT.encode("utf-16-le"), "stats.csv")

    assert (file.format, file.encoding, file.rejected) == ("google-keyword-planner", "utf-16-le", ())
    first, second = file.keywords
    assert (first.phrase, first.volume, first.volume_low, first.volume_high) == ("heat pump cost", 3162, 1000, 10000)
    assert (first.cpc, first.source, first.source_row) == (7.8, "stats.csv", 4), "rows count from 1 and include the titles"
    assert first.difficulty is None, "competition among advertisers is not how hard it is to rank"
    assert (second.volume, second.cpc) == (31623, None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", ["\t", ",", ";"])
def test_a_planner_export_saved_again_by_a_spreadsheet_is_still_one(encoding: str, delimiter: str) -> None:
    rows = [line.split("\t") for line in PLANNER_EXPORT.split("\r\n")]
    text = "\n".join(delimiter.join(f'"{cell}"' if delimiter in cell else cell for cell in row) for row in rows)
    file = read_keywords(text.encode(encoding), "stats.csv")
    assert file.format == "google-keyword-planner"
    assert [keyword.volume for keyword in file.keywords] == [3162, 31623]


def test_a_table_from_a_german_office_keeps_its_accents_and_decimal_commas() -> None:
    keyword = only("Suchbegriff;Volumen;KD;CPC\r\nkaffeemühle größe;1.300;45%;1,25 €\r\n".encode("cp1252"))
    assert (keyword.phrase, keyword.volume, keyword.difficulty, keyword.cpc) == ("kaffeemühle größe", 1300, 45.0, 1.25)


@pytest.mark.parametrize("header", ["Keyword", "keywords", "PHRASE", "Query", "Search term", "Top queries", "\ufeffkeyword", ' "Keyword" '])
def test_the_phrase_column_goes_by_many_names(header: str) -> None:
    assert only(f"Volume,{header.strip()}\n70,latte art\n").phrase == "latte art"


def test_metrics_are_found_by_their_usual_names() -> None:
    keyword = only('Keyword,Country,KD,Search Volume,CPC (USD),Intent,Language\nmoka pot,pt,37,5400,0.80,"Commercial, Transactional",en\n')
    assert keyword.model_dump(exclude={"phrase", "normalised", "volume_low", "volume_high", "source", "source_row"}) == {
        "volume": 5400,
        "difficulty": 37.0,
        "cpc": 0.8,
        "intent": "commercial",
        "language": "en",
        "country": "pt",
    }


def test_one_phrase_per_line_needs_no_header() -> None:
    file = read_keywords('espresso machine\r\n\r\n"quoted phrase"\r\ncoffee, black\r\n抹茶 ラテ'.encode(), "list.txt")
    assert file.format == "phrases"
    assert [keyword.phrase for keyword in file.keywords] == ["espresso machine", "quoted phrase", "coffee, black", "抹茶 ラテ"]
    assert [keyword.source_row for keyword in file.keywords] == [1, 3, 4, 5]


def test_what_a_file_is_does_not_depend_on_its_name() -> None:
    assert read_keywords(b"keyword\tvolume\nmoka pot\t5\n", "export.pdf").format == "table"


def test_good_rows_are_kept_and_each_bad_row_says_why() -> None:
    """A long export with a few broken rows is no reason to lose the rest of it."""
    rows = [
        ("keyword,volume,cpc", None),
        ("good,10,1.5", None),
        (",10,1", "no phrase"),
        ("low,-5,1", 'volume "-5" is negative'),
        ("word,many,1", 'volume "many" is not a number'),
        ("nul\0byte,1,1", "control character U+0000 in the phrase"),
        ("short,1", "2 columns where the header has 3"),
        ("long,1,1,1", "4 columns where the header has 3"),
        ("---,1,1", "no letter or digit in the phrase"),
        ('"open,5,1', "1 column where the header has 3"),
        (f"{'long ' * 50},1,1", "phrase of 249 characters; at most 200"),
        ("x" * 70_000 + ",1,1", "row is longer than 65,536 characters"),
        ("lost \ufffd,1,1", "a character of the phrase was lost in an earlier conversion (U+FFFD)"),
        ("", None),
        (",,", None),
        ('last,"1,300","1,5"', None),
    ]
    file = read_keywords("\n".join(row for row, _ in rows).encode(), "k.csv")

    assert [keyword.phrase for keyword in file.keywords] == ["good", "last"]
    assert [(bad.row, bad.reason) for bad in file.rejected] == [(number, reason) for number, (_, reason) in enumerate(rows, 1) if reason]
    assert all(len(bad.text) <= 80 and bad.text.isprintable() for bad in file.rejected), "fit for a terminal and for PostgreSQL"


def test_a_quoted_cell_may_run_over_rows_but_a_stray_quote_loses_one_row_only() -> None:
    file = read_keywords(b'keyword,note\nfirst,"two\nlines"\n"stray,x\nsecond,y\n', "k.csv")
    assert [(keyword.phrase, keyword.source_row) for keyword in file.keywords] == [("first", 2), ("second", 5)]
    assert [bad.row for bad in file.rejected] == [4]


def test_rows_with_the_same_phrase_become_one_keyword() -> None:
    keyword = only("keyword,volume,kd,cpc\nMoka Pot,10,,2\nmoka  pot,50,30,\nMOKA POT,20,99,9\n")
    assert (keyword.phrase, keyword.normalised) == ("Moka Pot", "moka pot")
    assert (keyword.volume, keyword.source_row, keyword.difficulty, keyword.cpc) == (50, 3, 30.0, 2.0)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "k.csv: the file is empty"),
        (b" \n\r\n", "k.csv: there is nothing but blank space"),
        (b"keyword,volume\n", "k.csv: no rows below the header in row 1"),
        (b"espresso,1300\nlatte,20\n", 'k.csv row 1: no phrase column among "espresso", "1300"; expected a column named keyword'),
        (b"id;volume\n7;20\n", 'k.csv row 1: no phrase column among "id", "volume"'),
        (b"keyword,volume\na,-5\n,3\n", 'row 2: volume "-5" is negative'),
        (b"PK\x03\x04\x14\x00", "k.csv: this is a ZIP archive or an Excel workbook (save the sheet as CSV)"),
        (b"\x89PNG\r\n\x1a\n\0\0", "k.csv: this is a PNG picture"),
        (b"<!DOCTYPE html><p>hello", "k.csv: this is a web page"),
        (bytes(range(256)) * 9, "k.csv: the file cannot be read as text"),
        ("ключевое слово\nкупить кофемашину\n".encode("cp1251"), "k.csv: the file cannot be read as text"),
        ("キーワード\nコーヒー豆 通販\n".encode("shift-jis"), "k.csv: the file cannot be read as text"),
        (b"\xff\xfek\0e\0y\0w", "k.csv: the file cannot be read as text"),
        (b"keyword\ngood\n" + b"x" * (1 << 20), "k.csv row 3: a line of 1,048,576 characters"),
    ],
    ids=[
        "empty",
        "blank",
        "no rows",
        "no header",
        "no phrase column",
        "all bad",
        "zip",
        "png",
        "html",
        "bytes",
        "cp1251",
        "sjis",
        "cut",
        "long",
    ],
)
def test_a_file_that_is_no_keyword_file_is_one_clear_line(data: bytes, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_keywords(data, "k.csv")
    message = str(refused.value)
    assert said in message
    assert "\n" not in message
    assert "expected" in message, "it says what was wrong, but not what would be right"


def test_a_utf8_file_with_a_broken_byte_loses_that_row_and_no_accent() -> None:
    file = read_keywords("keyword\ncafé\nthé\nmüsli\n".encode() + b"cr\xe8me\n", "k.csv")
    assert [keyword.phrase for keyword in file.keywords] == ["café", "thé", "müsli"]
    assert [bad.row for bad in file.rejected] == [5]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        *[(text, (1300, None, None)) for text in ("1300", "1,300", "1.300", "1 300", "1\u202f300", "1'300", "1.3K", "1,3k", "1300.0")],
        ("1.234.567", (1234567, None, None)),
        ("1K – 10K", (3162, 1000, 10000)),
        ("10K–100K", (31623, 10000, 100000)),
        ("1M - 10M", (3162278, 1000000, 10000000)),
        ("0 – 10", (3, 0, 10)),
        ("-", None),
        ("", None),
        ("N/A", None),
    ],
)
def test_volumes_are_read_in_every_way_they_are_written(cell: str, value: tuple[int, int | None, int | None] | None) -> None:
    assert read_volume(cell) == value


@pytest.mark.parametrize("cell", ["abc", "-5", "1e5", "10 – 5", "1,2,3", "1..2", "NaN", "inf", "²", "9" * 400, "2026-11-20"])
def test_what_is_no_volume_is_refused(cell: str) -> None:
    with pytest.raises(ValueError, match="volume"):
        read_volume(cell)


@given(st.integers(0, 10**11), st.sampled_from([",", ".", " ", "\u00a0", "'"]))
def test_thousands_may_be_grouped_by_any_sign(number: int, sign: str) -> None:
    assert read_volume(f"{number:,}".replace(",", sign)) == (number, None, None)


@given(st.decimals(0, 99, places=2), st.sampled_from(["{}", "${}", "{} €", "€ {}", "{} USD"]))
def test_prices_may_have_a_comma_and_a_currency(price: object, shape: str) -> None:
    assert read_decimal(shape.format(str(price).replace(".", ",")), "cpc") == float(str(price))


@given(st.text())
def test_normalising_twice_changes_nothing(phrase: str) -> None:
    assert normalise(normalise(phrase)) == normalise(phrase)


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_phrase_in_a_quoted_cell_is_a_keyword_or_has_a_reason(phrase: str) -> None:
    """No text makes the reader fail in another way than by a rejected row, and what is accepted can be a key."""
    quoted = phrase.replace('"', '""')
    others = "".join(f"another phrase {number},1\n" for number in range(500))  # a short file of control characters is no text at all
    file = read_keywords(f'keyword,volume\nanchor,1\n"{quoted}",2\n{others}'.encode(), "k.csv")
    phrases = [keyword.phrase for keyword in file.keywords]
    assert phrases[0].casefold() == "anchor"
    assert all(0 < len(found) <= LONGEST_PHRASE and "\0" not in found for found in phrases)


@given(st.binary(max_size=200))
def test_any_bytes_are_keywords_or_one_clear_line(data: bytes) -> None:
    try:
        said = "" if read_keywords(data, "k.csv").keywords else "neither keywords nor a reason"
    except BadInput as refused:
        said = str(refused).replace("k.csv", "", 1)
        said = said if "\n" in said or "expected" not in said else ""
    assert not said


@pytest.mark.parametrize(
    ("phrase", "intent"),
    [
        ("espresso machine repair near me", "transactional"),
        ("where to buy espresso machine", "transactional"),
        ("heat pump cost", "transactional"),
        ("Best Moka Pot", "commercial"),
        ("v60 vs chemex", "commercial"),
        ("are heat pumps worth it", "commercial"),
        ("how much does a heat pump cost to install", "informational"),
        ("cold brew recipe", "informational"),
        ("brewbench opening hours", "navigational"),
        ("espresso puck screen", None),
    ],
)
def test_intent_is_guessed_from_the_words(phrase: str, intent: str | None) -> None:
    assert guess_intent(phrase, ["Brewbench"]) == intent


def test_a_brand_is_taken_out_unless_nothing_else_is_left() -> None:
    drop = word_dropper(["Brewbench", "brew bench"])
    assert [drop(phrase) for phrase in ("BrewBench grinder", "grinder brew bench", "brewbench", "brewbenches")] == [
        "grinder",
        "grinder",
        "brewbench",
        "brewbenches",
    ]


def test_titles_keep_what_was_written_with_capitals() -> None:
    assert [titled(phrase) for phrase in ("v60 vs chemex", "how to use a moka pot", "HVAC for iPhone", "抹茶 ラテ")] == [
        "V60 vs Chemex",
        "How to Use a Moka Pot",
        "HVAC for iPhone",
        "抹茶 ラテ",
    ]


@pytest.mark.parametrize(("name", "format_"), [("brewbench", "table"), ("hearthwise", "google-keyword-planner")])
def test_the_example_files_are_read_whole(name: str, format_: str) -> None:
    file = read_keywords((EXAMPLES / f"{name}.csv").read_bytes(), f"{name}.csv")
    assert (file.format, file.rejected) == (format_, ())
    assert len(file.keywords) >= 180
    assert sum(keyword.volume or 0 for keyword in file.keywords) > 100_000


def test_a_hundred_thousand_rows_take_seconds() -> None:
    """The promise is 10 s; it takes about 2 s, and a reader that became quadratic would show here."""
    rows = "".join(f'how to clean a no {n} grinder,"{n % 90},300",{n % 100},1.{n % 100}\n' for n in range(100_000))
    begin = time.process_time()  # not wall time: other tests run beside this one
    file = read_keywords(f"keyword,volume,kd,cpc\n{rows}".encode(), "k.csv")
    assert time.process_time() - begin < 10
    assert len(file.keywords) == 100_000
