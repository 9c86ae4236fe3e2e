"""The call ledger, one call at a time."""

from decimal import Decimal
from typing import Any

from pressroom.records import Usage
from pressroom.store.calls import Bill, Booked, Claim, Entry, Ledger


def claim(ledger: Ledger, entry: Entry) -> Claim:
    (claimed,) = ledger.claim([entry])
    return claimed


def book(ledger: Ledger, request_hash: str, body: dict[str, Any], usage: Usage, cost_usd: Decimal | None, *, attempts: int = 1) -> Booked:
    (booked,) = ledger.book([Bill(request_hash, Booked(body, usage, cost_usd), attempts)])
    return booked
