"""The house's words: for numbers of things, and for what is wrong with a value that a person wrote (Pydantic's own speak of its types)."""

from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

Place = tuple[int | str, ...]

NOTHING: Mapping[str, str] = MappingProxyType({})
BRANCHES = {"[key]", "int", "tuple[int, int]"}  # what Pydantic adds to a place: that a key is meant, and the kinds that a value may be of
MAPPING = "a mapping of keys to values"
KINDS = {
    "string": "a text",
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "finite": "a number",
    "date": "a day, YYYY-MM-DD",
    "time": "a time of day, HH:MM",
    "tuple": "a list",
    "list": "a list",
    "dict": MAPPING,
    "mapping": MAPPING,
    "model": MAPPING,
}
PATTERNS = {
    r"^[a-z0-9]+(-[a-z0-9]+)*$": "small letters and digits, with single hyphens between",
    r"^[a-z]{2}(-[A-Z]{2})?$": "a language such as en or pt-BR",
    r"^[0-9a-f]{64}$": "64 characters, each 0 to 9 or a to f",
}
# A longer text is cut: it may be a key that was put into the wrong place, and those have 40 characters and more.
SHOWN, CUT_TO = 30, 4


def complaint(problem: Mapping[str, Any]) -> str:
    """One of Pydantic's `errors()` without its place: what is expected, and what was found. Our own words of a validator stay."""
    if problem["type"] == "value_error":
        return str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "missing":
        return "is missing"
    return f"expected {fitting(problem['type'], problem.get('ctx', {}))}, not {_shown(problem['input'])}"


def first_problem(
    error: ValidationError, *, expected: Mapping[str, str] = NOTHING, known: Callable[[Place], Collection[str]] = lambda _: ()
) -> str:
    """The first thing that is wrong, in one line with its place. `expected` says by key what fits it, where its kind does not say enough;
    `known` gives the keys that may stand where an unknown one does."""
    # An unknown key first: `purpos` is the cause, that `purpose` is missing only follows from it.
    first = min(error.errors(include_url=False, include_input=False), key=lambda problem: problem["type"] != "extra_forbidden")
    place: Place = tuple(part for part in first["loc"] if part not in BRANCHES)
    where = ".".join(map(str, place))
    fits = next((expected[part] for part in reversed(place) if part in expected), "")  # type: ignore[index]
    match first["type"]:
        case "extra_forbidden":
            names = ", ".join(known(place))
            return f"{where}: unknown key{f'; known are {names}' if names else ''}"
        case "value_error":
            message = first["msg"].removeprefix("Value error, ")
            return f"{where}: {message}" if where else message
        case "missing":
            return f"{where} is missing{f': expected {fits}' if fits else ''}"
    wanted = f"expected {fits or fitting(first['type'], first.get('ctx', {}))}"
    return f"{where} is wrong: {wanted}" if where else wanted


def keys_of(model: type[BaseModel]) -> Callable[[Place], Collection[str]]:
    """What `first_problem` takes for `known`: the keys of the model at a place in `model`, or of all that can stand there."""

    def known(place: Place) -> Collection[str]:
        here = {model}
        for part in place[:-1]:
            fields = [field for each in here for name, field in each.model_fields.items() if part in (field.alias, name)]
            here = {inner for field in fields for inner in _models_in(field.annotation)} or here  # the key of a dict leads no deeper
        return [field.alias or name for each in here for name, field in each.model_fields.items()]

    return known


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def fitting(kind: str, bounds: Mapping[str, Any]) -> str:
    """What Pydantic wanted by the kind of its complaint, such as `float_parsing` or `greater_than_equal`."""
    match kind:
        case "literal_error" | "enum":
            return str(bounds["expected"]).replace("'", "")
        case "greater_than_equal":
            return f"{_number(bounds['ge'])} or more"
        case "greater_than":
            return f"more than {_number(bounds['gt'])}"
        case "less_than_equal":
            return f"{_number(bounds['le'])} or less"
        case "less_than":
            return f"less than {_number(bounds['lt'])}"
        case "string_pattern_mismatch":
            return PATTERNS.get(bounds["pattern"], f"a text of the form {bounds['pattern']}")
        case "string_too_short":
            return "a text" if bounds["min_length"] == 1 else f"a text of {bounds['min_length']} characters or more"
        case "string_too_long":
            return f"a text of {bounds['max_length']} characters or fewer"
        case "too_short":
            return f"{bounds['min_length']} or more of them"
        case "too_long":
            return f"{bounds['max_length']} of them or fewer"
    return KINDS.get(kind.partition("_")[0], "another value")


def _number(bound: object) -> str:
    return str(bound).removesuffix(".0")


def _shown(value: object) -> str:
    """The value for people: a text in quotation marks, so that '5' and 5 are two things."""
    if value is None or value == "":
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, bool):
        return str(value).lower()
    text = " ".join(str(value).split())
    if not isinstance(value, str):
        return text
    return repr(text) if len(text) <= SHOWN else f"{text[:CUT_TO] + '…'!r} of {len(text)} characters"


def some(number: int, noun: str) -> str:
    """The number and its noun: "1 link", "2 links"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
