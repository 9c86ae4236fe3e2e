"""The detectors as the settings ask for them: on this machine, and hosted where there is a token."""

from collections.abc import Iterator
from contextlib import contextmanager

from pressroom.errors import BadInput
from pressroom.inference.local import local_runners
from pressroom.inference.types import Runner
from pressroom.llm.gateway import Exchange
from pressroom.llm.opening import budget_of
from pressroom.llm.types import Asks, Scope
from pressroom.records import Detector, Site, Tally
from pressroom.settings import Settings
from pressroom.store.accounts import account_of_house
from pressroom.store.calls import Ledger
from pressroom.store.engine import Store
from pressroom.store.lanes import LaneBook
from pressroom.store.locks import OwnerLock


@contextmanager
def open_runners(settings: Settings, store: Store, site: Site | None, run_id: str, tally: Tally) -> Iterator[dict[Detector, Runner]]:
    """A runner for every detector that somebody can serve: a hosted model, where the table has one, before one on this machine.

    Calls go through the ledger of `store` for the site, or for the house, and are counted on `tally`. Raises BadInput when a token or a
    table is wrong.
    """
    runners: dict[Detector, Runner] = dict(local_runners(settings))
    if not settings.hosted_inference:
        yield runners
        return
    from pressroom.inference.catalogue import catalogue
    from pressroom.inference.hosted import HostedModels, hosted_limits, hosted_runners

    token = settings.replicate_api_token
    if token is None:
        raise BadInput("REPLICATE_API_TOKEN is not set")
    models = HostedModels(catalogue(settings.detectors), token=token, base_url=settings.replicate_base_url)
    account_id, site_id = (
        (site.account_id, site.id) if site else (store.retrying(lambda session: account_of_house(session, settings.account)), None)
    )
    with (
        OwnerLock(store) as owner,
        Exchange(models, Ledger(store, owner), LaneBook(store, owner), limits=hosted_limits(), budget=budget_of(settings)) as exchange,
    ):
        exchange.warm_up()

        def asks(detector: Detector) -> Asks:
            return exchange.gateway(Scope(account_id, site_id, run_id, f"compliance/{detector}"), tally)

        yield runners | dict(hosted_runners(models, asks))
