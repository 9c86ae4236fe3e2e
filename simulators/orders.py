"""What `POST /_control` takes: every order is held to its form before any is obeyed."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Form(NamedTuple):
    """What an order may be, and how that is called."""

    holds: Callable[[Any], bool]
    name: str


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0


SECONDS = Form(_is_number, "seconds, 0 or more")
SWITCH = Form(lambda value: type(value) is bool, "true or false")
LIMIT = Form(lambda value: value is None or (type(value) is int and value >= 1), "a whole number, 1 or more, or null")
FAILURES = Form(
    lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    'a list of KIND[@PLACE][:TIMES[:RETRY_AFTER]], such as ["429:3"]',
)
DOCUMENTS = Form(lambda value: isinstance(value, dict), "documents by the name of their schema")


def hold_orders(orders: Mapping[str, Any], forms: Mapping[str, Form]) -> None:
    """Raises ValueError that names the first order that there is not, or that is none of its form."""
    if unknown := sorted(orders.keys() - forms.keys()):
        raise ValueError(f"no such order: {', '.join(unknown)}; there are {', '.join(forms)}")
    for name, value in orders.items():
        if not forms[name].holds(value):
            raise ValueError(f"{name}: expected {forms[name].name}")
