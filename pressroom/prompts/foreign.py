"""Text of others inside a template: it can be looked at, and written only into a data block.

A prompt's variables are the site's own and Pressroom's (OURS), or they come from keyword files, models and endpoints. Those others, and
whatever a template takes out of them, are `Foreign` until the filter `data` puts them into a block.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn

from pressroom.llm.blocks import data

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

OURS = frozenset({"site", "rules", "day", "wanted", "attempt"})
LONGEST = 1_000_000  # characters of either half of a prompt: the house's longest, for the golden set, has 2,500
TEXTS = (str, int, float, Decimal, dt.date, dt.time)


class Foreign:
    """A value that others wrote, as a template sees it: conditions, loops and fields work as on the value, its text is not to be had."""

    __slots__ = ("_name", "_value")

    def __init__(self, value: Any, name: str) -> None:
        self._value = value
        self._name = name

    def __getattr__(self, field: str) -> "Foreign":
        if field.startswith("_"):
            raise AttributeError(field)
        return Foreign(getattr(self._value, field), f"{self._name}.{field}")

    def __getitem__(self, key: Any) -> "Foreign":
        return Foreign(self._value[bare(key)], f"{self._name}[…]")

    def __iter__(self) -> Iterator["Foreign"]:
        return (Foreign(each, f"one of {self._name}") for each in self._value)

    def __len__(self) -> int:
        return len(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __contains__(self, other: Any) -> bool:
        return bare(other) in self._value

    def __eq__(self, other: object) -> bool:
        return bool(self._value == bare(other))

    def __hash__(self) -> int:
        return hash(self._value)

    def __lt__(self, other: Any) -> bool:
        return bool(self._value < bare(other))

    def __le__(self, other: Any) -> bool:
        return bool(self._value <= bare(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self._value > bare(other))

    def __ge__(self, other: Any) -> bool:
        return bool(self._value >= bare(other))

    def __str__(self) -> NoReturn:
        from jinja2.exceptions import SecurityError

        raise SecurityError(f'{self._name} was written by others: it goes into a prompt by the filter data("name") only')

    # A list of it, `%r` and `format` would write the object's address: no text of others, and another prompt in each process.
    __repr__ = __str__

    def __format__(self, form: str) -> NoReturn:
        self.__str__()


def as_variables(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables as a template may have them."""
    return {name: value if name in OURS else Foreign(value, name) for name, value in variables.items()}


def bare(value: Any) -> Any:
    """The value with all that is Foreign in it as it was."""
    match value:
        case Foreign():
            return value._value
        case dict():
            return {bare(key): bare(inner) for key, inner in value.items()}
        case list() | tuple():
            return [bare(inner) for inner in value]
    return value


def environment() -> "SandboxedEnvironment":
    """What prompts are rendered with: strict, in a sandbox, and the filter `data` the one way from others' text into a prompt."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    made = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, finalize=_written, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["data"] = _block
    made.intercepted_binops = frozenset({"*"})
    made.binop_table["*"] = _product
    # With chance in it a prompt is another one each time that it is rendered, and no booked answer would ever fit it.
    del made.filters["random"], made.globals["lipsum"]
    return made


def _product(left: Any, right: Any) -> Any:
    """The product. Raises SecurityError for a text or list longer than a prompt: {{ 'a' * 10**9 }} took 4 GB while it was compiled."""
    from jinja2.exceptions import SecurityError

    for one, times in ((left, right), (right, left)):
        if isinstance(one, str | list | tuple) and isinstance(times, int) and len(one) * times > LONGEST:
            raise SecurityError(f"its text has more than {LONGEST:,} characters")
    return left * right


def _written(value: Any) -> Any:
    """What a template writes: texts, numbers and days. Raises SecurityError for structures, whose form in a prompt would be an accident."""
    from jinja2 import Undefined
    from jinja2.exceptions import SecurityError

    if isinstance(value, (*TEXTS, Foreign, Undefined)):  # the last two say by themselves why not
        return value
    raise SecurityError(f'a {type(value).__name__} cannot stand in a prompt as it is; the filter data("name") writes it into a data block')


def _block(value: Any, name: str) -> str:
    """The data block, where a field that the template reads and the variable does not have is an error as it is elsewhere."""
    from jinja2 import UndefinedError
    from jinja2.tests import test_undefined as is_undefined

    if missing := [field for field, read in value.items() if is_undefined(read)] if isinstance(value, dict) else []:
        raise UndefinedError(f"data block {name}: no value for {', '.join(missing)}")
    return data(bare(value), name)
