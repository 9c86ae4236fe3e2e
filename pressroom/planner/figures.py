"""Numbers as exports and spreadsheets write them: "1,300", "1.300", "1 300", "12,5", "$1.20", "1K – 10K"."""

import math
import re
from functools import lru_cache

_NOTHING = frozenset(["", "-", "–", "—", "--", "n/a", "na", "null", "none", "no data", "#n/a"])
_SUFFIX = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}
_RANGE = re.compile(r"^(.*[\dkmb])\s*[-–—−]\s*(\d.*)$", re.IGNORECASE)
_NUMBER = re.compile(r"^([-–−]?)((?:\d[\d.,]*)?\d|[.,]\d+)([kmb]?)\+?$", re.IGNORECASE)
_DECORATION = re.compile(r"^(?:[A-Z]{1,3}\s?)?[$€£¥₹₽₺₩₪]\s*|^[A-Z]{3}\s+|\s*(?:[$€£¥₹₽₺₩₪%]|\s[A-Z]{3})$")
_GROUPING = re.compile(r"(?<=\d)[\s'’](?=\d{3}(?!\d))")
_GROUPED = re.compile(r"^[1-9]\d{0,2}(?:([.,])\d{3})(?:\1\d{3})*$")

# More searches a month than people make in all; a larger figure is a date or an id in the wrong column.
MOST_SEARCHES = 1_000_000_000_000


@lru_cache(maxsize=10_000)  # an export repeats its figures
def read_volume(cell: str) -> tuple[int, int | None, int | None] | None:
    """Searches a month with the ends of their range: "1,300" is (1300, None, None), "1K – 10K" is (3162, 1000, 10000).

    A range is one decade wide and volumes spread evenly over its logarithm, so its geometric middle is the fair guess:
    the arithmetic one, 5,500, would be too high for three phrases in four. None where the cell says nothing.
    Raises ValueError with a reason for people.
    """
    text = cell.strip()
    if text.isdecimal() and len(text) <= 12:
        return int(text), None, None
    if text.lower() in _NOTHING:
        return None
    ends = _RANGE.match(text)
    if not ends:
        return _whole(text.removeprefix("<").removeprefix(">").strip(), "volume"), None, None
    low, high = (_whole(end.strip(), "volume") for end in ends.groups())
    return middle(low, high), low, high


def middle(low: int, high: int) -> int:
    """The geometric middle of a range of volumes, rounded; a range from 0 counts from 1. Raises ValueError when it runs backwards."""
    if low > high:
        raise ValueError(f"volume range {low} to {high} runs backwards")
    return round(math.sqrt(max(low, 1) * high))


@lru_cache(maxsize=10_000)
def read_decimal(cell: str, what: str, most: float = math.inf) -> float | None:
    """A number from 0 to `most` that may have decimals; a single comma or point is the decimal sign. None where the cell says nothing.

    Raises ValueError with a reason for people that begins with `what`.
    """
    text = cell.strip()
    if text.lower() in _NOTHING:
        return None
    number = _number(text, what, grouped=False)
    if number > most:
        raise ValueError(f"{what} {_short(cell)} is more than {most:g}")
    return number


def _whole(text: str, what: str) -> int:
    number = _number(text, what, grouped=True)
    if number > MOST_SEARCHES:
        raise ValueError(f"{what} {_short(text)} is more than a trillion")
    return round(number)


def _number(text: str, what: str, *, grouped: bool) -> float:
    """The value of `text`. `grouped`: one separator before three digits, as in "1.300", groups thousands."""
    found = _NUMBER.match(_GROUPING.sub("", _DECORATION.sub("", text)))
    if not found:
        raise ValueError(f"{what} {_short(text)} is not a number")
    sign, digits, suffix = found.groups()
    if sign and digits.strip("0.,"):
        raise ValueError(f"{what} {_short(text)} is negative")
    points, commas = digits.count("."), digits.count(",")
    if points and commas:  # the last one is the decimal sign
        group = "," if digits.rfind(".") > digits.rfind(",") else "."
        digits = digits.replace(group, "").replace(",", ".")
    elif points + commas > 1 or (grouped and not suffix and _GROUPED.match(digits)):
        if not _GROUPED.match(digits):
            raise ValueError(f"{what} {_short(text)} is not a number")
        digits = digits.replace(",", "").replace(".", "")
    try:
        return float(digits.replace(",", ".")) * _SUFFIX[suffix.lower()]
    except ValueError:
        raise ValueError(f"{what} {_short(text)} is not a number") from None


def _short(cell: str) -> str:
    shown = "".join(character if character.isprintable() else "\ufffd" for character in cell.strip())
    return f'"{shown[:30]}…"' if len(shown) > 30 else f'"{shown}"'
