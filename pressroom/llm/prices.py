"""What a call costs: dated prices per model, from prices.yaml and a price file of one's own."""

import datetime as dt
import re
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from pressroom.errors import BadInput
from pressroom.records import Record, Usage

FILE = Path(__file__).with_name("prices.yaml")
PER = Decimal(1_000_000)
SMALLEST = Decimal("0.000001")  # USD, as the ledger holds it
DEAREST = (
    10_000  # USD per million tokens: the dearest model ever cost 600, and all tokens that a row can count still fit the ledger's column
)
SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
EXPECTED = {
    "model": "the model's name",
    "since": "a day, YYYY-MM-DD",
    "known": "a day, YYYY-MM-DD",
    "ends": "a day, YYYY-MM-DD",
    "source": "a text",
    "image": f"USD for one image, 0 to {DEAREST:,}",
    "batch": "the part of the price that a batch costs, above 0 and at most 1",
    "prices": "one entry or more",
}
TOKENS = f"USD per million tokens, 0 to {DEAREST:,}"  # what every other key expects

Usd = Annotated[Decimal, Field(ge=0, le=DEAREST)]


class Price(Record):
    """What a model costs from the day `since` on, in USD: per million tokens, and per image where images are billed by the piece."""

    model: str = Field(min_length=1)
    since: dt.date
    known: dt.date | None = Field(default=None, description="Day as of which it was read, where it is not the table's.")
    ends: dt.date | None = Field(default=None, description="Day on which the endpoint shuts the model down, where that is known.")
    input: Usd
    cached: Usd | None = Field(default=None, description="Input read from the endpoint's cache; left out, as any other input.")
    cache_write: Usd | None = Field(default=None, description="Input written into that cache; left out, as any other input.")
    output: Usd
    image: Usd | None = Field(default=None, description="One image; left out where images are billed as output tokens.")
    batch: Decimal | None = Field(default=None, gt=0, le=1, description="What a batch costs of all this (0.5: half); left out, not known.")

    def of(self, usage: Usage, *, batch: bool = False) -> Decimal | None:
        """The cost in USD, to the sixth place.

        Cached and cache-write tokens are part of the input, reasoning tokens of the output. None when it is not known: a batch whose
        factor is not, or images that were billed neither by the piece nor in tokens.
        """
        factor = self.batch if batch else Decimal(1)
        if factor is None or (usage.images and self.image is None and not usage.output):
            return None
        fresh = max(0, usage.input - usage.cached - usage.cache_write)
        tokens = (
            fresh * self.input
            + usage.cached * (self.input if self.cached is None else self.cached)
            + usage.cache_write * (self.input if self.cache_write is None else self.cache_write)
            + usage.output * self.output
        )
        return (factor * (tokens / PER + usage.images * (self.image or 0))).quantize(SMALLEST)


class PriceTable(Record):
    """Prices of many models and days. `known` is the day as of which they were read at `source`."""

    source: str = ""
    known: dt.date | None = None
    prices: Annotated[tuple[Price, ...], Field(min_length=1)]

    @field_validator("prices")
    @classmethod
    def _each_once(cls, prices: tuple[Price, ...]) -> tuple[Price, ...]:
        seen = set()
        for price in prices:
            if (price.model, price.since) in seen:
                raise ValueError(f"{price.model} has two prices since {price.since}; one model and day is one entry")
            seen.add((price.model, price.since))
        return prices

    def price_of(self, model: str, day: dt.date) -> Price | None:
        """The price of a model on a day; a snapshot without its own has its family's. None when it is not known."""
        for name in (model, SNAPSHOT.sub("", model)):
            known = [price for price in self.prices if price.model == name and price.since <= day]
            if known:
                return max(known, key=lambda price: price.since)
        return None


@cache
def price_table(path: Path | None = None) -> PriceTable:
    """The prices that come with Pressroom, and those of the file `path`: a model that it names has the prices that it gives, no other.

    A file is read once in a process. Raises BadInput that names the file, the entry and what was expected.
    """
    shipped = _read(FILE)
    if path is None:
        return shipped
    own = _read(path)
    named = {price.model for price in own.prices}
    return shipped.model_copy(update={"prices": own.prices + tuple(price for price in shipped.prices if price.model not in named)})


def price_of(model: str, day: dt.date | None = None, *, path: Path | None = None) -> Price | None:
    """The price of a model on a day (default: today in UTC), by `price_table(path)`. None when it is not known."""
    return price_table(path).price_of(model, day or dt.datetime.now(dt.UTC).date())


def _read(path: Path) -> PriceTable:
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'}); expected a price table") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # an impossible date, 2026-02-30, is a ValueError
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise BadInput(f"{path}{where}: no valid YAML ({getattr(error, 'problem', None) or error})") from None
    if not isinstance(document, dict) or not isinstance(document.get("prices"), list):
        raise BadInput(f"{path}: expected a list under the key 'prices', each entry with model, since, input and output")
    try:
        return PriceTable.model_validate(document)
    except ValidationError as error:
        raise BadInput(f"{path}: {_first_problem(error, document['prices'])}") from None


def _first_problem(error: ValidationError, entries: list[Any]) -> str:
    # An unknown key first: `ouput` is the cause, that `output` is missing only follows from it.
    found = error.errors(include_url=False, include_input=False)
    first = min(found, key=lambda problem: problem["type"] != "extra_forbidden")
    match first["loc"]:
        case ("prices", int(number), str(key), *_):
            named = f" ({model})" if (model := entries[number].get("model")) else ""
            return f"entry {number + 1}{named}: {_problem(first['type'], first['msg'], key, tuple(Price.model_fields))}"
        case ("prices", int(number)):
            return f"entry {number + 1}: expected a mapping with model, since, input and output"
        case (str(key), *_):
            return _problem(first["type"], first["msg"], key, tuple(PriceTable.model_fields))
    return first["msg"]


def _problem(kind: str, message: str, key: str, known: tuple[str, ...]) -> str:
    if kind == "extra_forbidden":
        return f"unknown key '{key}'; known are {', '.join(known)}"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    return f"{key} {'is missing' if kind == 'missing' else 'is wrong'}: expected {EXPECTED.get(key, TOKENS)}"
