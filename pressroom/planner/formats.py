"""Keyword files, recognised by their content. A further export of a tool is one more entry in FORMATS."""

import csv
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pressroom.errors import BadInput
from pressroom.planner.decoding import decode
from pressroom.planner.figures import middle, read_decimal, read_volume
from pressroom.planner.intent import guess_intent
from pressroom.planner.phrases import WORD, normalise, tidy
from pressroom.records import Intent, Keyword, KeywordFile, RejectedRow

LONGEST_PHRASE = 200  # characters; Google cuts a query after 32 words, which are shorter than this
LONGEST_LINE = 1_000_000  # characters; no export has such a line, and a file that does is something else
LONGEST_ROW = 65_536  # characters; such a row is rejected without being taken apart
MOST_ROWS_OF_A_RECORD = 20  # a quote that is still open after so many rows was never meant to open
TITLE_ROWS = 10  # rows above the header in which tools write the report's name and dates

_DELIMITERS = "\t;,|"


@dataclass(frozen=True)
class Format:
    """A table with a header: for each field of a keyword the names that its column goes by, in lower case, best first.

    `marks` are column names of which at least one must be there: they tell this export from any other table.
    """

    name: str
    columns: Mapping[str, tuple[str, ...]]
    marks: tuple[str, ...] = ()

    def find(self, header: Sequence[str]) -> dict[str, int]:
        """Where each field stands in `header` (lower case); empty when the header is not of this format."""
        if self.marks and not any(mark in header for mark in self.marks):
            return {}
        found = {
            field: next(header.index(name) for name in names if name in header)
            for field, names in self.columns.items()
            if any(name in header for name in names)
        }
        return found if "phrase" in found else {}


_PHRASE = (
    *("keyword", "keywords", "phrase", "phrases", "query", "queries", "search term", "search terms", "search query", "search queries"),
    *("top queries", "key phrase", "keyphrase", "key word", "keyword phrase", "keyword text"),
    *("suchbegriff", "suchanfrage", "mot clé", "mot-clé", "requête", "palabra clave", "consulta", "palavra-chave", "parola chiave"),
)

# The first that fits a header decides, so the general table stands last.
FORMATS = (
    # Competition is that of advertisers, not how hard it is to rank: it is no difficulty and is left out.
    Format(
        "google-keyword-planner",
        {
            "phrase": ("keyword", *_PHRASE),
            "volume": ("avg. monthly searches", "avg. monthly searches (exact match only)"),
            "volume_low": ("min search volume",),
            "volume_high": ("max search volume",),
            "bid_low": ("top of page bid (low range)", "suggested bid"),
            "bid_high": ("top of page bid (high range)",),
        },
        marks=("avg. monthly searches", "avg. monthly searches (exact match only)", "min search volume", "competition (indexed value)"),
    ),
    Format(
        "table",
        {
            "phrase": _PHRASE,
            "volume": (
                *("volume", "search volume", "monthly volume", "monthly searches", "monthly search volume", "avg monthly searches"),
                *("average monthly searches", "searches", "sv", "global volume", "suchvolumen", "volumen", "volume de recherche"),
            ),
            "volume_low": ("volume low", "volume_low", "min volume"),
            "volume_high": ("volume high", "volume_high", "max volume"),
            "difficulty": ("difficulty", "keyword difficulty", "kd", "kd %", "kd%", "keyword difficulty %", "seo difficulty", "sd"),
            "cpc": ("cpc", "cpc (usd)", "cpc (eur)", "cpc (gbp)", "cpc usd", "cpc eur", "cost per click", "avg. cpc", "average cpc"),
            "intent": ("intent", "search intent", "intents", "keyword intent", "user intent"),
            "language": ("language", "lang", "language code"),
            "country": ("country", "country code", "location", "market", "database"),
        },
    ),
)
_METRICS = frozenset(name for format_ in FORMATS for field, names in format_.columns.items() if field != "phrase" for name in names)

_INTENTS: dict[str, Intent] = {
    **dict.fromkeys(("informational", "information", "info", "i"), "informational"),
    **dict.fromkeys(("navigational", "navigation", "nav", "n"), "navigational"),
    **dict.fromkeys(("commercial", "commercial investigation", "c"), "commercial"),
    **dict.fromkeys(("transactional", "transaction", "t"), "transactional"),
}


@dataclass(frozen=True)
class _Layout:
    """How the rows of one file are read: its header's place, its delimiter, and where each field stands."""

    format: str
    header_row: int
    delimiter: str
    columns: Mapping[str, int]
    width: int


def read_keywords(data: bytes, name: str, *, brand_words: Sequence[str] = ()) -> KeywordFile:
    """The keywords of a file: a Google Ads Keyword Planner export, a table with a phrase column, or one phrase per line.

    `name` stands in the messages and as the keywords' source; what the file is, its content says. Rows count from 1 and
    include titles, header and blank rows. A bad row is left out and reported with its reason, the others are kept. Rows with the same
    normalised phrase become one keyword: the row with the largest volume (the first of equals) gives its figures, and
    what it lacks comes from the other rows; the spelling is that of the first row. Where the file states no intent it is guessed
    from the words; `brand_words` make a phrase navigational.

    Raises BadInput when the file is empty, binary, in an unknown encoding, a table without a phrase column, without
    rows, or holds nothing but bad rows.
    """
    text, encoding = decode(data, name)
    lines = text.rstrip("\n").split("\n")
    for number, line in enumerate(lines, 1):
        if len(line) >= LONGEST_LINE:
            raise BadInput(f"{name} row {number}: a line of {len(line):,} characters; expected one keyword per row, under {LONGEST_LINE:,}")
    layout = _layout(lines, name)
    keywords: dict[str, Keyword] = {}
    rejected: list[RejectedRow] = []
    for number, row, cells in _records(lines, layout):
        try:
            keyword = _keyword(cells, layout, name, number, brand_words)
        except ValueError as reason:
            rejected.append(RejectedRow(row=number, reason=str(reason), text=_shown(row)))
            continue
        earlier = keywords.get(keyword.normalised)
        keywords[keyword.normalised] = _merged(earlier, keyword) if earlier else keyword
    if not keywords and rejected:
        first = rejected[0]
        raise BadInput(
            f"{name}: no row can be used ({len(rejected):,} rejected); row {first.row}: {first.reason}; expected a keyword per row"
        )
    if not keywords:
        raise BadInput(f"{name}: no rows below the header in row {layout.header_row}; expected at least one keyword")
    return KeywordFile(format=layout.format, encoding=encoding, keywords=tuple(keywords.values()), rejected=tuple(rejected))


def _layout(lines: Sequence[str], name: str) -> _Layout:
    """The first row that is a header of a known format, else one phrase per line. Raises BadInput for any other table."""
    rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("sep=")][: TITLE_ROWS + 1]
    if not rows:
        raise BadInput(f"{name}: no rows in the file; expected at least one keyword")
    for number, line in rows:
        for delimiter in _DELIMITERS if len(line) < LONGEST_ROW else "":
            header = [tidy(cell).casefold() for cell in _cells(line, delimiter)]
            for format_ in FORMATS:
                columns = format_.find(header)
                # Below titles a single known word is no header: it may be a phrase of a list.
                if len(columns) > (0 if number == rows[0][0] else 1):
                    return _Layout(format_.name, number, delimiter if len(header) > 1 else ",", columns, len(header))
    if found := _table_without_phrases(rows):
        number, header = found
        shown = ", ".join(f'"{_shown(cell)[:20]}"' for cell in header[:5])
        raise BadInput(
            f"{name} row {number}: no phrase column among {shown}; expected a column named keyword, phrase, query or search term"
        )
    return _Layout("phrases", 0, "", {"phrase": 0}, 1)


def _table_without_phrases(rows: Sequence[tuple[int, str]]) -> tuple[int, list[str]] | None:
    """The header row of what is a table and no list of phrases: all rows have the same two or more cells, or one names metrics."""
    for delimiter in _DELIMITERS:
        split = [(number, _cells(line[:LONGEST_ROW], delimiter)) for number, line in rows]
        for number, cells in split:
            if len(cells) > 1 and any(tidy(cell).casefold() in _METRICS for cell in cells):
                return number, cells
        if len(split[0][1]) > 1 and all(len(cells) == len(split[0][1]) for _, cells in split):
            return split[0]
    return None


def _cells(line: str, delimiter: str) -> list[str]:
    """The cells of one row. A quote that is open at the end of the line is taken as it stands."""
    if not delimiter:
        return [line.strip().removeprefix('"').removesuffix('"') if line.strip().startswith('"') else line]
    if '"' not in line:
        return line.split(delimiter)
    return next(csv.reader([line], delimiter=delimiter), [])


def _records(lines: Sequence[str], layout: _Layout) -> Iterator[tuple[int, str, list[str]]]:
    """Row number, text and cells of each record below the header that has something in it."""
    number = layout.header_row
    while number < len(lines):
        line = lines[number]
        number += 1
        if not line.strip() or line.startswith("sep="):
            continue
        if len(line) > LONGEST_ROW:
            yield number, line, []
            continue
        begin, record = number, line
        if layout.delimiter and line.count('"') % 2:  # a quote is open
            for last in range(number + 1, min(number + MOST_ROWS_OF_A_RECORD, len(lines)) + 1):
                if _closed(joined := "\n".join(lines[number - 1 : last]), layout):
                    record, number = joined, last
                    break
        cells = _cells(record, layout.delimiter)
        if any(cell.strip() for cell in cells):
            yield begin, record, cells


def _closed(record: str, layout: _Layout) -> bool:
    """True when every quote of `record` is closed and it has as many cells as the header."""
    try:
        rows = list(csv.reader(record.split("\n"), delimiter=layout.delimiter, strict=True))
    except csv.Error:
        return False
    return len(rows) == 1 and len(rows[0]) == layout.width


def _keyword(cells: Sequence[str], layout: _Layout, source: str, row: int, brand_words: Sequence[str]) -> Keyword:
    """The keyword of one record. Raises ValueError with the reason when it is none."""
    if not cells:
        raise ValueError(f"row is longer than {LONGEST_ROW:,} characters")
    if len(cells) < layout.width or any(cell.strip() for cell in cells[layout.width :]):
        raise ValueError(f"{len(cells)} {'column' if len(cells) == 1 else 'columns'} where the header has {layout.width}")
    values = {field: cells[place] for field, place in layout.columns.items()}
    phrase = _phrase(values.pop("phrase"))
    read = {field: _READERS[field](cell) for field, cell in values.items()}
    volume, low, high = read.get("volume") or _between(read.get("volume_low"), read.get("volume_high"))
    bids = [bid for field in ("bid_low", "bid_high") if (bid := read.get(field)) is not None]
    return Keyword(
        phrase=phrase,
        normalised=normalise(phrase),
        volume=volume,
        volume_low=low,
        volume_high=high,
        difficulty=read.get("difficulty"),
        cpc=round(sum(bids) / len(bids), 2) if bids else read.get("cpc"),
        intent=read.get("intent") or guess_intent(phrase, brand_words),
        language=read.get("language"),
        country=read.get("country"),
        source=source,
        source_row=row,
    )


def _between(low: int | None, high: int | None) -> tuple[int | None, int | None, int | None]:
    """The volume between two columns, and the two."""
    if low is None or high is None:
        return (high if low is None else low), low, high
    return middle(low, high), low, high


def _phrase(cell: str) -> str:
    """The phrase of a cell, tidied. Raises ValueError with the reason when it is none."""
    if not cell.isprintable():
        for character in cell.strip():
            if unicodedata.category(character) in ("Cc", "Cs", "Cn"):
                raise ValueError(f"control character U+{ord(character):04X} in the phrase")
    if "\ufffd" in cell:
        raise ValueError("a character of the phrase was lost in an earlier conversion (U+FFFD)")
    phrase = tidy(cell)
    if not WORD.search(phrase):
        raise ValueError("no phrase" if not phrase else "no letter or digit in the phrase")
    if len(phrase) > LONGEST_PHRASE:
        raise ValueError(f"phrase of {len(phrase):,} characters; at most {LONGEST_PHRASE}")
    return phrase


def _intent(cell: str) -> Intent | None:
    """The first intent of a cell such as "Commercial, Transactional"; an unknown word says nothing."""
    return _INTENTS.get(cell.replace("/", ",").replace(";", ",").split(",")[0].strip().lower())


def _count(cell: str) -> int | None:
    volume = read_volume(cell)
    return volume[0] if volume else None


_READERS: Mapping[str, Callable[[str], Any]] = {
    "volume": read_volume,
    "volume_low": _count,
    "volume_high": _count,
    "difficulty": partial(read_decimal, what="difficulty", most=100),
    "cpc": partial(read_decimal, what="cpc"),
    "bid_low": partial(read_decimal, what="bid"),
    "bid_high": partial(read_decimal, what="bid"),
    "intent": _intent,
    "language": lambda cell: tidy(cell) or None,
    "country": lambda cell: tidy(cell) or None,
}

_FIGURES = ("volume", "volume_low", "volume_high", "source_row")
_FILLED = ("difficulty", "cpc", "intent", "language", "country")


def _merged(earlier: Keyword, later: Keyword) -> Keyword:
    """One keyword of two rows: the larger volume stands, and each gap is filled from the other row."""
    larger = later.volume is not None and (earlier.volume is None or later.volume > earlier.volume)
    first, second = (later, earlier) if larger else (earlier, later)
    return earlier.model_copy(
        update={field: getattr(first, field) for field in _FIGURES}
        | {field: getattr(second if getattr(first, field) is None else first, field) for field in _FILLED}
    )


def _shown(text: str) -> str:
    """At most 80 characters of a row, fit for a terminal and for PostgreSQL, which takes no NUL."""
    return "".join(character if character.isprintable() else " " if character.isspace() else "\ufffd" for character in text[:80])
