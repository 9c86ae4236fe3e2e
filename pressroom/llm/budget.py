"""The limit in money that holds for a run while accounts have no budgets of their own."""

from decimal import Decimal

from pressroom.errors import OverBudget


class RunBudget:
    """At most `limit` USD for one run, of which `spent` is gone already, for a run that goes on."""

    def __init__(self, limit: Decimal, *, spent: Decimal = Decimal(0)) -> None:
        self.limit = limit
        self.spent = spent
        self.reserved = Decimal(0)

    def reserve(self, most: Decimal | None, model: str) -> None:
        if most is None:
            raise OverBudget(f"no price is known for the model {model}, so the run's limit of {self.limit} USD cannot be held")
        if self.spent + self.reserved + most > self.limit:
            figures = f"{self.spent:.4f} spent, {self.reserved:.4f} in flight, up to {most:.4f} for this call"
            raise OverBudget(f"the run's limit of {self.limit} USD would be passed: {figures}")
        self.reserved += most

    def settle(self, most: Decimal | None, cost: Decimal | None) -> None:
        self.reserved -= most or 0
        # A call whose endpoint did not say what it used counts as the most that it can have cost.
        self.spent += (most or 0) if cost is None else cost
