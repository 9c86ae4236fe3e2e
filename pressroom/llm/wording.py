"""What is wrong with a file that a person wrote, in the house's words: Pydantic's own speak of its types."""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

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
    "tuple": "a list",
    "list": "a list",
    "dict": MAPPING,
    "mapping": MAPPING,
    "model": MAPPING,
}


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
    wanted = f"expected {fits or _fitting(first['type'], first.get('ctx', {}))}"
    return f"{where} is wrong: {wanted}" if where else wanted


def _fitting(kind: str, bounds: Mapping[str, Any]) -> str:
    """What Pydantic wanted by the kind of its complaint, such as `float_parsing` or `greater_than_equal`."""
    match kind:
        case "literal_error" | "enum":
            return str(bounds["expected"])
        case "greater_than_equal":
            return f"{bounds['ge']} or more"
        case "greater_than":
            return f"more than {bounds['gt']}"
        case "less_than_equal":
            return f"{bounds['le']} or less"
        case "string_pattern_mismatch":
            return f"a text of the form {bounds['pattern']}"
        case "too_short":
            return f"{bounds['min_length']} or more of them"
        case "too_long":
            return f"{bounds['max_length']} of them or fewer"
    return KINDS.get(kind.partition("_")[0], "another value")
