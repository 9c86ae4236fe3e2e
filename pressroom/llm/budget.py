"""The limit in money that holds for a run while accounts have no budgets of their own."""

from decimal import Decimal

from pressroom.errors import OverBudget
from pressroom.llm.types import Charge


class RunBudget:
    """At most `limit` USD for one run.

    A model without a known price is refused, or with `needs_prices=False` counted as free.
    """

    def __init__(self, limit: Decimal, *, needs_prices: bool = True) -> None:
        self.limit = limit
        self.needs_prices = needs_prices
        self.spent = Decimal(0)
        self.reserved = Decimal(0)

    def reserve(self, charge: Charge) -> None:
        if charge.most is None and self.needs_prices:
            raise OverBudget(f"no price is known for the model {charge.model}, so the run's limit of {self.limit} USD cannot be held")
        most = charge.most or Decimal(0)
        if self.spent + self.reserved + most > self.limit:
            figures = f"{self.spent:.4f} spent, {self.reserved:.4f} in flight, up to {most:.4f} for this call"
            raise OverBudget(f"the run's limit of {self.limit} USD would be passed: {figures}")
        self.reserved += most

    def settle(self, charge: Charge, cost: Decimal | None) -> None:
        self.reserved -= charge.most or 0
        # A call whose endpoint did not say what it used counts as the most that it can have cost.
        self.spent += (charge.most or 0) if cost is None else cost
