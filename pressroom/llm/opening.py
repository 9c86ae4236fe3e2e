"""An exchange as the settings ask for it: their pace, their bounds and their limit in money, on an open store."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

from pressroom.llm.budget import RunBudget
from pressroom.llm.gateway import Exchange
from pressroom.llm.pace import Rules
from pressroom.llm.types import Limits, Routes
from pressroom.settings import Settings
from pressroom.store.batches import BatchBook
from pressroom.store.calls import Ledger
from pressroom.store.engine import Store
from pressroom.store.lanes import LaneBook
from pressroom.store.locks import OwnerLock

# A day of one site is some 20 calls, under 0.05 USD with the default model: a hundred times that is a mistake.
DEFAULT_LIMIT_USD = Decimal(5)


@contextmanager
def open_exchange(settings: Settings, store: Store, routes: Routes, *, batch: bool = False) -> Iterator[Exchange]:
    """The exchange of one run, closed at the end of the block: what is on its way by then is booked. `batch`: calls go out in batches."""
    limits, budget = limits_of(settings), budget_of(settings)
    with OwnerLock(store) as owner:
        batches = BatchBook(store, owner) if batch else None
        with Exchange(routes, Ledger(store, owner), LaneBook(store, owner), limits=limits, budget=budget, batches=batches) as exchange:
            yield exchange


def limits_of(settings: Settings) -> Limits:
    """The pace and the bounds of a call, by the settings."""
    pace = Rules(in_flight=settings.llm_max_in_flight, rpm=settings.llm_rpm, tpm=settings.llm_tpm)
    return Limits(pace=pace, item_usd=settings.item_limit_usd)


def budget_of(settings: Settings) -> RunBudget:
    """The run's limit in money. Only a limit that was set refuses a model without a known price: the default one cannot be meant for it."""
    return RunBudget(settings.run_limit_usd or DEFAULT_LIMIT_USD, needs_prices=settings.run_limit_usd is not None)
