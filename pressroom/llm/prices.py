"""What a call costs: dated prices per model, from prices.yaml."""

import datetime as dt
import re
from decimal import Decimal
from functools import cache
from pathlib import Path

from pressroom.records import Record, Usage

PER = Decimal(1_000_000)
SMALLEST = Decimal("0.000001")  # USD, as the ledger holds it
SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class Price(Record):
    """USD per million tokens, from the day `since` on."""

    model: str
    since: dt.date
    input: Decimal
    cached: Decimal
    output: Decimal

    def of(self, usage: Usage) -> Decimal:
        """The cost in USD. Cached tokens are part of the input, reasoning tokens part of the output."""
        fresh = usage.input - usage.cached
        return ((fresh * self.input + usage.cached * self.cached + usage.output * self.output) / PER).quantize(SMALLEST)


class PriceTable(Record):
    source: str
    known: dt.date
    prices: tuple[Price, ...]


@cache
def price_table() -> PriceTable:
    import yaml

    return PriceTable.model_validate(yaml.safe_load(Path(__file__).with_name("prices.yaml").read_text(encoding="utf-8")))


def price_of(model: str, day: dt.date | None = None) -> Price | None:
    """The price of a model on a day (default: today); a snapshot without its own has its family's. None when it is not known."""
    day = day or dt.datetime.now(dt.UTC).date()
    for name in (model, SNAPSHOT.sub("", model)):
        known = [price for price in price_table().prices if price.model == name and price.since <= day]
        if known:
            return max(known, key=lambda price: price.since)
    return None
